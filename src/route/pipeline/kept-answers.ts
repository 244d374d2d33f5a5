/**
 * Answers that are still true: to the same caller and the same address, with nothing written anywhere since. Between two
 * writes a list that is polled by many then costs what its sending costs.
 */
import type { User } from './context.js';
import type { Answer } from './response.js';

/** Answers remembered; beyond it the memory starts anew. */
const answerLimit = 1000;

interface Kept {
  status: number;
  headers: Record<string, string>;
  /** The store decides which pages stay in memory, and for how long: what it has let go is not held here. */
  body: WeakRef<Buffer>;
}

export class KeptAnswers {
  readonly #version: () => number;
  readonly #answers = new Map<string, Kept>();
  #at = NaN;

  /** `version` is another number after every write to whatever answers are made from. */
  constructor(version: () => number) {
    this.#version = version;
  }

  /** The version that an answer which is made now will have, if nothing is written until it is there. */
  version(): number {
    return this.#version();
  }

  get(user: User | undefined, address: string): Answer | undefined {
    if (this.#version() !== this.#at) return undefined;
    const kept = this.#answers.get(keyOf(user, address));
    const body = kept?.body.deref();
    return kept === undefined || body === undefined
      ? undefined
      : { status: kept.status, headers: kept.headers, body };
  }

  /** `version` is that from before the answer was made. */
  keep(
    user: User | undefined,
    address: string,
    { status, headers, body, kept }: Answer,
    version: number,
  ): void {
    if (kept !== true || !Buffer.isBuffer(body) || version !== this.#version()) return;
    if (version !== this.#at || this.#answers.size >= answerLimit) this.#answers.clear();
    this.#at = version;
    this.#answers.set(keyOf(user, address), { status, headers, body: new WeakRef(body) });
  }
}

/** All that an answer depends on. Who is a superuser says the configuration, which may change without a write. */
function keyOf({ id = '', superUser = false }: Partial<User> = {}, address: string): string {
  return `${id} ${superUser} ${address}`;
}
