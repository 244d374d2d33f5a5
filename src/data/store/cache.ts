import { LRUCache } from 'lru-cache';
import type { Store } from './port.js';

/** Entries of each cache. */
const entryLimit = 10_000;

/**
 * Caches reads from some collections until one of them is written: by this process, which the store announces at once,
 * or by another one, which the store's epoch shows. A revoked key or a removed member is therefore refused on the very
 * next request.
 */
export class ReadCache<V extends object> {
  readonly #store: Store;
  readonly #entries = new LRUCache<string, V>({ max: entryLimit });
  #epoch: number;
  /** Counts invalidations, so that a concurrent read is not cached. */
  #generation = 0;

  constructor(store: Store, collections: readonly string[]) {
    this.#store = store;
    this.#epoch = store.epoch();
    store.watch((collection) => {
      if (collections.includes(collection)) this.#clear();
    });
  }

  /** The entry, or undefined if it must be read. */
  get(key: string): V | undefined {
    const epoch = this.#store.epoch();
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#clear();
    }
    return this.#entries.get(key);
  }

  /** Reads and caches. Absence is not cached: the document may be created any time. */
  async read(key: string, read: () => Promise<V | undefined>): Promise<V | undefined> {
    const known = this.get(key);
    if (known !== undefined) return known;
    const generation = this.#generation;
    const value = await read();
    if (value === undefined || generation !== this.#generation) return value;
    this.#entries.set(key, value);
    return value;
  }

  #clear(): void {
    this.#entries.clear();
    this.#generation += 1;
  }
}
