import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { restore as restoreFile } from '../data/store/sqlite/backup.js';
import { fileOf, say, sayProgress, type StoreFlags } from './store-flags.js';

/** copse restore FILE */
export function restore(backup: string, { force = false, ...flags }: StoreFlags & { force?: boolean }): void {
  const file = fileOf(flags);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const kept = restoreFile(backup, file, force, sayProgress);
  if (kept !== undefined) say(`The previous database was renamed to ${kept}.`);
  say(`Restored ${file} from ${backup}.`);
}
