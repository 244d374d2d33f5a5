import type { Store } from './port.js';

/**
 * A number that changes with every write, by this process or any other: as long as it stays the same, everything read
 * is still valid.
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
