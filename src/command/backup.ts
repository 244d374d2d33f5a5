import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { backUp } from '../data/store/sqlite/backup.js';
import { fileOf, say, sayProgress, type StoreFlags } from './store-flags.js';

/** copse backup FILE */
export async function backup(target: string, flags: StoreFlags): Promise<void> {
  const file = fileOf(flags);
  await backUp(file, target, sayProgress);
  say(`Backed up ${file} to ${resolve(target)} (${statSync(target).size} bytes, checked).`);
}
