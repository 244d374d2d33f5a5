/**
 * Answers that are still true: to the same caller and the same address, with nothing written anywhere since. Between two
 * writes a list that is polled by many then costs what its sending costs.
 */
import { LRUCache } from 'lru-cache';
import type { User } from './context.js';
import { type Answer, StreamBody } from './response.js';

/** Bytes that an entry costs besides its body and twice its key. Rounded up. */
const overhead = 1000;

/** Requests of which it is known that they were made. */
const requestLimit = 2000;

export class ResponseCache {
  readonly #limit: number;
  readonly #version: () => number;
  readonly #answers = new Map<string, Answer>();
  #bytes = 0;
  #at = NaN;
  readonly #requested = new LRUCache<string, true>({ max: requestLimit });

  /** `limit` in bytes. `version` is another number after every write to whatever answers are made from. */
  constructor(limit: number, version: () => number) {
    this.#limit = limit;
    this.#version = version;
  }

  /** The version that an answer which is made now will have, if nothing is written until it is there. */
  version(): number {
    return this.#version();
  }

  get(user: User | undefined, address: string): Answer | undefined {
    return this.#version() === this.#at ? this.#answers.get(keyOf(user, address)) : undefined;
  }

  /**
   * Takes an answer that is asked for again; `version` is that from before it was made. When the cache is full, it takes
   * nothing until something is written: a walk through long lists, even a repeated one, would else replace all that there
   * is, and leave as much garbage that has grown old.
   */
  put(user: User | undefined, address: string, answer: Answer, version: number): void {
    const { body = '' } = answer;
    if (body instanceof StreamBody || version !== this.#version()) return;
    if (version !== this.#at) {
      this.#answers.clear();
      this.#bytes = 0;
      this.#at = version;
    }
    const key = keyOf(user, address);
    const size = body.length + 2 * key.length + overhead;
    if (!this.#isRepeated(key) || size > this.#limit / 32 || this.#bytes + size > this.#limit) return;
    if (!this.#answers.has(key)) this.#bytes += size;
    this.#answers.set(key, answer);
  }

  #isRepeated(key: string): boolean {
    if (this.#requested.get(key) !== undefined) return true;
    this.#requested.set(key, true);
    return false;
  }
}

/** All that an answer depends on. Who is a superuser says the configuration, which may change without a write. */
function keyOf({ id = '', superUser = false }: Partial<User> = {}, address: string): string {
  return `${id} ${superUser} ${address}`;
}
