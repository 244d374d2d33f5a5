import type { Write } from './port.js';

/**
 * Characters of JSON that one batch may have on every engine. The smallest accepts 14 MiB, for value and public text
 * together, and a character has up to three bytes.
 */
const limit = 2 * 2 ** 20;

/** The writes, in order, in batches that every engine accepts: documents can be of any size. */
export function splitIntoBatches(writes: readonly Write[]): Write[][] {
  const batches: Write[][] = [];
  let room = 0;
  for (const write of writes) {
    const size = 'value' in write ? JSON.stringify(write.value).length : 0;
    const batch = batches.at(-1);
    if (batch === undefined || size > room) {
      batches.push([write]);
      room = limit - size;
    } else {
      batch.push(write);
      room -= size;
    }
  }
  return batches;
}
