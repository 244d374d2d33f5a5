/**
 * Responses that are still valid: for the same caller and address, with nothing written anywhere since. Between two
 * writes, a list that is polled by many clients costs only the sending.
 */
import { LRUCache } from 'lru-cache';
import type { User } from './context.js';
import { type Answer, StreamBody } from './response.js';

/** Bytes that an entry costs in addition to its body and twice its key. Rounded up. */
const overhead = 1000;

/** Number of requests that are remembered as seen. */
const requestLimit = 2000;

export class ResponseCache {
  readonly #limit: number;
  readonly #version: () => number;
  readonly #answers = new Map<string, Answer>();
  #bytes = 0;
  #at = NaN;
  readonly #requested = new LRUCache<string, true>({ max: requestLimit });

  /** `limit` in bytes. `version` changes with every write to the data that responses are made from. */
  constructor(limit: number, version: () => number) {
    this.#limit = limit;
    this.#version = version;
  }

  /** The version of a response that is made now, if nothing is written until it is ready. */
  version(): number {
    return this.#version();
  }

  get(user: User | undefined, address: string): Answer | undefined {
    return this.#version() === this.#at ? this.#answers.get(keyOf(user, address)) : undefined;
  }

  /**
   * Caches a response that is requested again; `version` is from before it was made. When the cache is full, nothing is
   * added until something is written: otherwise walks through long lists, even repeated ones, would replace everything,
   * and leave as much old garbage.
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

/**
 * Everything that a response depends on. Superusers are set in the configuration, which may change without a write, and
 * credentials of one user may differ in what they allow.
 */
function keyOf(user: User | undefined, address: string): string {
  if (user === undefined) return ` ${address}`;
  const { id, superUser, everyProject = false, limits, grants } = user;
  if (limits === undefined && grants === undefined) return `${id} ${superUser} ${address}`;
  return `${id} ${superUser} ${everyProject} ${JSON.stringify([limits, grants?.key])} ${address}`;
}
