/**
 * When each API key was last used: written in the background, at most once a minute per key. What has not been written
 * when the process dies is lost.
 */
import { timestamp } from '../model/common.js';
import { type CollectionSpec, insert, replace, type Store } from './store/port.js';
import { unlessRaced } from './store/retry.js';

interface KeyUseRecord {
  time: string;
}

/** By the id of the key. Not in the key's own document, whose changes everyone who caches keys must notice. */
export const keyUses: CollectionSpec<KeyUseRecord> = {
  name: 'apikey_uses',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

/** Milliseconds between two writes for a key. */
export const useInterval = 60_000;

/** Milliseconds for which uses are collected before they are written. */
const delay = 500;

export class KeyUse {
  readonly #store: Store;
  /** When a key was used, by its id: to be written. */
  readonly #pending = new Map<string, number>();
  /** Keys that need not be noted until the set is cleared: most requests read no clock. */
  readonly #noted = new Set<string>();
  #clearing: NodeJS.Timeout | undefined;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The key is used now. Called for each request: only remembers it. */
  note(keyId: string): void {
    if (this.#noted.has(keyId) || this.#closed) return;
    this.#noted.add(keyId);
    this.#clearing ??= setTimeout(() => {
      this.#clearing = undefined;
      this.#noted.clear();
    }, useInterval).unref();
    this.#pending.set(keyId, Date.now());
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#writing = this.#write();
    }, delay).unref();
  }

  async #write(): Promise<void> {
    const uses = [...this.#pending];
    this.#pending.clear();
    for (const [keyId, time] of uses) {
      if (this.#closed) return;
      // The next use of the key tries again; nobody waits for this.
      await this.#writeOne(keyId, time).catch(() => undefined);
    }
  }

  async #writeOne(keyId: string, time: number): Promise<void> {
    const found = await this.#store.get(keyUses, keyId);
    // Another process has just done it.
    if (found !== undefined && Date.parse(found.value.time) + useInterval > time) return;
    const value = { time: timestamp(new Date(time)) };
    await unlessRaced(
      this.#store.write([
        found === undefined ? insert(keyUses, keyId, value) : replace(keyUses, found, value),
      ]),
    );
  }

  /** Writes nothing more. */
  close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#clearing);
    return this.#writing;
  }
}
