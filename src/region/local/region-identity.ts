/**
 * Identifies the folder of a region, wherever it is moved: the store records it, and accepts no other for the same
 * region.
 */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unreadable } from './file-fault.js';
import { errorCode, writeDurably } from './files.js';

/** The identity of the folder, generated at its first use. Only the owner of the folder may call this. */
export async function identityOf(folder: string): Promise<string> {
  const path = join(folder, 'identity');
  try {
    const identity = (await readFile(path, 'utf8')).trim();
    if (identity !== '') return identity;
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT') throw unreadable('The identity of the region’s folder', cause);
  }
  const identity = randomUUID();
  // Not secret: after a run as another user the region still opens, and reports which servers cannot be read.
  await writeDurably(path, `${identity}\n`, 0o644);
  return identity;
}
