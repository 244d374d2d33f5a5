import type { Write } from './port.js';

/**
 * Characters of JSON that one batch may have on every engine. The smallest takes 14 MiB, where the value and the public
 * text lie side by side, and a character has up to three bytes.
 */
const limit = 2 * 2 ** 20;

/** The writes, in their order, in batches that every engine takes: documents can be of any size. */
export function portionsOf(writes: readonly Write[]): Write[][] {
  const portions: Write[][] = [];
  let room = 0;
  for (const write of writes) {
    const size = 'value' in write ? JSON.stringify(write.value).length : 0;
    const portion = portions.at(-1);
    if (portion === undefined || size > room) {
      portions.push([write]);
      room = limit - size;
    } else {
      portion.push(write);
      room -= size;
    }
  }
  return portions;
}
