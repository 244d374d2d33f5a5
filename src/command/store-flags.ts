/** What the commands about the store have in common: their options, and where the store is. */
import { resolve } from 'node:path';
import { type Config, loadConfig } from '../config.js';
import type { Progress } from '../data/store/sqlite/backup.js';
import { sqliteFile } from '../site/stores.js';

export interface StoreFlags {
  config?: string;
  dataDir?: string;
}

/** The configuration as `serve` with the same options has it. */
export function configOf({ config, dataDir }: StoreFlags): Config {
  return loadConfig({
    ...(config === undefined ? {} : { file: config }),
    flags: dataDir === undefined ? {} : { dataDir },
  });
}

/** The file of the configured store. Throws when that is of another engine, with what serves there. */
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

/** A line of progress, for work of more than two seconds. */
export const sayProgress: Progress = (step, part) => {
  say(part === undefined ? `${step} …` : `${step}: ${Math.floor(part * 100)} %`);
};
