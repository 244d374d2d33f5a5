/** Names the folder of a region, wherever it is moved to: the store remembers it, and takes no other for the same region. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RegionError } from '../provider.js';
import { errorCode, writeDurably } from './files.js';

/** The identity of the folder, made with its first use. Only who has taken the folder may ask. */
export async function identityOf(folder: string): Promise<string> {
  const path = join(folder, 'identity');
  try {
    const identity = (await readFile(path, 'utf8')).trim();
    if (identity !== '') return identity;
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT')
      throw new RegionError('terminal', 'The identity of the region’s folder cannot be read.', { cause });
  }
  const identity = randomUUID();
  await writeDurably(path, `${identity}\n`);
  return identity;
}
