import { statSync } from 'node:fs';
import { compact } from '../data/store/sqlite/backup.js';
import { fileOf, say, sayProgress, type StoreFlags } from './store-flags.js';

/** copse store compact */
export async function compactStore(flags: StoreFlags): Promise<void> {
  const file = fileOf(flags);
  const before = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  const { rewritten } = await compact(file, sayProgress);
  const how = rewritten ? 'rewritten' : 'a process has it open, so empty pages were released in small steps';
  say(`${file}: ${before} bytes before, ${statSync(file).size} after (${how}).`);
}
