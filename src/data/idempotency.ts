/**
 * Responses stored for repeats of a request (draft-ietf-httpapi-idempotency-key-header). The record is created before
 * the work begins, and completed in the same batch that stores the effect: a crash leaves either neither, and the
 * repeat does the work, or both, and the repeat gets the response.
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

/** How long a response is stored, in milliseconds. */
export const retention = 24 * 60 * 60 * 1000;

/**
 * Milliseconds after which a claim without any heartbeat counts as abandoned when first seen: its process died long
 * ago.
 */
const abandoned = 5 * 60 * 1000;

/** Default for the milliseconds without a heartbeat after which a claim expires. */
const defaultLease = 30_000;

/** Milliseconds after which the observation of a claim ends if no request asks for it. */
const forgetful = 10 * 60 * 1000;

export interface IdempotentRequest {
  userId: string;
  key: string;
  /** Method and path. */
  operation: string;
  /** The normalised query and body, as one text. */
  content: string;
  /** The same in the form of an older version, to recognise a repeat across an upgrade. */
  formerContent?: () => string;
}

export interface IdempotencyOptions {
  /** Milliseconds without a heartbeat, as measured by this process, after which a claim expires. */
  lease?: number;
  /** Since when the store has been available, by `performance.now()`: no heartbeat is possible during an outage. */
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

  /** Claims the key. Throws 422 if it was used for a different request, 409 while the first one is running. */
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
      // No two claims have the same revision, so the end of one cannot end another.
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

  /** Ends the heartbeats; claims that are still held expire soon. */
  close(): void {
    this.#keeper.close();
  }

  /** Whether no process is doing the work any more. */
  #isOver(found: Claimed): boolean {
    if (this.#keeper.holds(found)) return false;
    const { owner, created, beat } = found.value;
    if (this.#keeper.isEnding(found) || isDeadOwner(owner)) return true;
    const now = performance.now();
    // After an outage, living processes need time for a heartbeat.
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
      // It is unknown whether it was written; no process will do its work.
      void this.#keeper.release(record);
      throw error;
    }
    this.#keeper.hold(record);
    return new IdempotencyClaim(this.#keeper, record);
  }

  /** Removes responses that are too old; returns how many. */
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

/** Whether the key was used for this same request. */
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
