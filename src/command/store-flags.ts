/** What the store commands share: their options, and the location of the store. */
import { resolve } from 'node:path';
import { type Config, loadConfig } from '../config.js';
import type { Progress } from '../data/store/sqlite/backup.js';
import { sqliteFile } from '../site/stores.js';

export interface StoreFlags {
  config?: string;
  dataDir?: string;
}

/** The same configuration as `serve` with these options. */
export function configOf({ config, dataDir }: StoreFlags): Config {
  return loadConfig({
    ...(config === undefined ? {} : { file: config }),
    flags: dataDir === undefined ? {} : { dataDir },
  });
}

/** The file of the configured store. Throws for another engine, naming the commands to use instead. */
export function fileOf(flags: StoreFlags): string {
  const { store, dataDir } = configOf(flags);
  const file = sqliteFile(store, resolve(dataDir));
  if (file !== undefined) return file;
  throw new Error(
    'This command works on SQLite stores only. For MongoDB use mongodump, mongorestore and compact.',
  );
}

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** A line of progress, for work that takes more than two seconds. */
export const sayProgress: Progress = (step, part) => {
  say(part === undefined ? `${step} …` : `${step}: ${Math.floor(part * 100)} %`);
};
