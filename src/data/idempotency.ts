/**
 * Answers kept for repeats of a request (draft-ietf-httpapi-idempotency-key-header). The record is made before the work
 * begins, and is completed in the very batch that stores the work's effect: a crash leaves either neither, and the
 * repeat does the work, or both, and the repeat gets the answer.
 */
import { createHash, randomInt } from 'node:crypto';
import { ApiError } from '../model/error.js';
import { type Log, silentLog } from '../model/log.js';
import {
  type Claimed,
  ClaimKeeper,
  idempotency,
  IdempotencyClaim,
  type IdempotencyRecord,
  running,
} from './idempotency-claim.js';
import { LeaseWatch } from './lease.js';
import { isDeadOwner } from './owner.js';
import { insert, remove, replace, type Store, StoreConflict, type Write } from './store/port.js';

export { idempotency, IdempotencyClaim } from './idempotency-claim.js';

/** How long an answer is kept, in milliseconds. */
export const retention = 24 * 60 * 60 * 1000;

/**
 * Milliseconds after which work that never showed a sign of life counts as abandoned at the first sight of it: that of a
 * process which has long been gone.
 */
const abandoned = 5 * 60 * 1000;

/** Milliseconds without a sign of life after which a claim is over, unless the site says otherwise. */
const defaultLease = 30_000;

/** Milliseconds after which a claim that nobody asks for any more is forgotten by the watch. */
const forgetful = 10 * 60 * 1000;

export interface IdempotentRequest {
  userId: string;
  key: string;
  /** Method and path. */
  operation: string;
  /** The meaning of query and body, as one text. */
  content: string;
  /** The same as an older program wrote it: a repeat across an upgrade is known by that. */
  formerContent?: () => string;
}

export interface IdempotencyOptions {
  /** Milliseconds without a sign of life, as this process measures them, after which a claim is over. */
  lease?: number;
  /** Since when the store can be used, by `performance.now()`: nobody can show a sign of life in an outage. */
  usableSince?: () => number;
  log?: Log;
}

export class IdempotencyData {
  readonly #store: Store;
  readonly #owner: string;
  readonly #lease: number;
  readonly #usableSince: () => number;
  readonly #keeper: ClaimKeeper;
  readonly #watch = new LeaseWatch();
  #round = performance.now();

  constructor(
    store: Store,
    owner: string,
    { lease = defaultLease, usableSince = () => -Infinity, log = silentLog }: IdempotencyOptions = {},
  ) {
    this.#store = store;
    this.#owner = owner;
    this.#lease = lease;
    this.#usableSince = usableSince;
    this.#keeper = new ClaimKeeper(store, lease / 4, log);
  }

  /** Claims the key. Throws 422 when it was used for another request, 409 while the first one runs. */
  async begin(request: IdempotentRequest, signal?: AbortSignal): Promise<IdempotencyClaim> {
    const id = digest(`${request.userId}\n${request.operation}\n${request.key}`);
    const value: IdempotencyRecord = {
      userId: request.userId,
      fingerprint: digest(request.content),
      owner: this.#owner,
      created: Date.now(),
    };
    const found = await this.#store.get(idempotency, id, signal);
    if (found === undefined) {
      // No two claims have one revision, so that what ends one cannot end another.
      const revision = randomInt(1, 2 ** 47);
      return this.#claim({ ...insert(idempotency, id, value), revision }, { id, revision, value });
    }
    const expired = found.value.created + retention < value.created;
    if (!expired && !isSame(found.value, value, request)) {
      throw new ApiError(
        'idempotency_mismatch',
        'The Idempotency-Key was used for a different request; use a new one.',
      );
    }
    if (found.value.answer !== undefined && !expired) return new IdempotencyClaim(this.#keeper, found);
    if (!expired && !this.#isOver(found)) throw running();
    const claimed = { id, revision: found.revision + 1, value };
    return this.#claim(replace(idempotency, found, value), claimed);
  }

  /** Ends the signs of life; claims that are still held are over soon. */
  close(): void {
    this.#keeper.close();
  }

  /** Whether nobody is at the work any more. */
  #isOver(found: Claimed): boolean {
    if (this.#keeper.holds(found)) return false;
    const { owner, created, beat } = found.value;
    if (this.#keeper.isEnding(found) || isDeadOwner(owner)) return true;
    const now = performance.now();
    // The living need the time to show it after an outage, in which they could not.
    if (now - this.#usableSince() < this.#lease) return false;
    if (beat === undefined && created + abandoned < Date.now()) return true;
    if (now - this.#round > forgetful) {
      this.#watch.end();
      this.#watch.begin();
      this.#round = now;
    }
    return this.#watch.silent(found.id, `${found.revision} ${beat ?? 0}`, this.#lease, now);
  }

  async #claim(write: Write, record: Claimed): Promise<IdempotencyClaim> {
    try {
      await this.#store.write([write]);
    } catch (error) {
      if (error instanceof StoreConflict) throw running(error);
      // Whether it was written nobody knows; nobody will do its work.
      void this.#keeper.release(record);
      throw error;
    }
    this.#keeper.hold(record);
    return new IdempotencyClaim(this.#keeper, record);
  }

  /** Removes answers that are too old; tells how many. */
  async purge(now: number, signal: AbortSignal): Promise<number> {
    let removed = 0;
    for (;;) {
      const page = await this.#store.page(idempotency, { order: 'created', limit: 200 }, signal);
      const old = page.filter(({ value }) => value.created + retention < now);
      for (const record of old) {
        signal.throwIfAborted();
        try {
          await this.#store.write([remove(idempotency, record)]);
          removed += 1;
        } catch (error) {
          if (!(error instanceof StoreConflict)) throw error;
        }
      }
      if (old.length < page.length || page.length === 0) return removed;
    }
  }
}

/** Whether the key was used for this request. */
function isSame(
  found: IdempotencyRecord,
  { fingerprint }: IdempotencyRecord,
  { formerContent }: IdempotentRequest,
): boolean {
  if (found.fingerprint === fingerprint) return true;
  return formerContent !== undefined && found.fingerprint === digest(formerContent());
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
