import type { Store } from './port.js';

/**
 * A number that is another one after every write, by this process or by any other: as long as it stays the same,
 * whatever was read is still true.
 */
export function storeVersion(store: Store): () => number {
  let version = 0;
  let epoch = store.epoch();
  store.watch(() => (version += 1));
  return () => {
    const now = store.epoch();
    if (now !== epoch) {
      epoch = now;
      version += 1;
    }
    return version;
  };
}
