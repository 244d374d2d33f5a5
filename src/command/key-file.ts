/** A new key on its way to its owner: into a file that only they can read, or to standard output. */
import { rmSync, writeFileSync } from 'node:fs';

/**
 * Writes the key down, and removes it again if the work with it comes to nothing: a key that is valid must never be lost.
 * `work` returns undefined if the key did not become valid.
 */
export async function withKeyWritten<R>(
  key: string,
  file: string | undefined,
  work: () => Promise<R | undefined>,
): Promise<R | undefined> {
  if (file !== undefined) writeFileSync(file, `${key}\n`, { mode: 0o600, flag: 'wx' });
  let result: R | undefined;
  try {
    result = await work();
  } finally {
    if (file !== undefined && result === undefined) rmSync(file, { force: true });
  }
  if (result !== undefined && file === undefined) process.stdout.write(`${key}\n`);
  return result;
}
