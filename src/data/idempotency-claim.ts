/**
 * Claims of Idempotency-Keys while their work is in progress: kept alive by their holder, and reliably released. Writes
 * that fail while the store is unavailable are retried as long as the process lives.
 */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from '../model/error.js';
import type { Log } from '../model/log.js';
import {
  type CollectionSpec,
  type Document,
  remove,
  replace,
  type Store,
  StoreConflict,
  type Write,
} from './store/port.js';

/** A stored response: everything that a repeat must get again. */
export interface StoredResponse {
  status: number;
  headers: Record<string, string>;
  body?: string;
}

export interface IdempotencyRecord {
  userId: string;
  /** SHA-256 of the request. */
  fingerprint: string;
  /** The process that does the work, until there is a response. */
  owner: string;
  /** Milliseconds since 1970. */
  created: number;
  /** Counts the holder's heartbeats; absent before the first one, which only long work needs. */
  beat?: number;
  answer?: StoredResponse;
}

export const idempotency: CollectionSpec<IdempotencyRecord> = {
  name: 'idempotency',
  columns: { created: 'integer' },
  columnsOf: (_id, record) => ({ created: record.created }),
  orders: { id: [], created: ['created'] },
};

export type Claimed = Document<IdempotencyRecord>;

/** Milliseconds of the first pause after a failure, and of the longest. */
const firstPause = 100;
const longestPause = 2000;

interface Held {
  record: Claimed;
  since: number;
}

/** The claims of this process. */
export class ClaimKeeper {
  readonly #store: Store;
  readonly #log: Log;
  readonly #intervalMs: number;
  readonly #held = new Map<string, Held>();
  /** Claims whose work is done, by id, with the revision to remove. */
  readonly #ending = new Map<string, number>();
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  /** `intervalMs`: the time between two heartbeats. */
  constructor(store: Store, intervalMs: number, log: Log) {
    this.#store = store;
    this.#intervalMs = intervalMs;
    // Any number may fail in an outage.
    setMaxListeners(0, this.#closing.signal);
    this.#log = log;
  }

  /** Keeps the claim alive from now on. Work that is done before the first heartbeat costs no write. */
  hold(record: Claimed): void {
    this.#held.set(record.id, { record, since: performance.now() });
    this.#timer ??= setInterval(() => this.#beat(), this.#intervalMs).unref();
  }

  /** Whether this process is doing the work. */
  holds({ id, revision }: Claimed): boolean {
    return this.#held.get(id)?.record.revision === revision;
  }

  /** Whether this process knows that the work is done but could not store that yet. */
  isEnding({ id, revision }: Claimed): boolean {
    return this.#ending.get(id) === revision;
  }

  /**
   * Releases the key, so that a repeat does the work: nothing was done. Resolves when that is stored, or will be
   * retried later.
   */
  async release(record: Claimed): Promise<void> {
    this.done(record);
    this.#ending.set(record.id, record.revision);
    await this.#insist(record, () => this.#removeOwn(record));
  }

  /** Stores the response; until then the claim is kept alive, because the work is done. Resolves like `release`. */
  async keep(record: Claimed, write: Write): Promise<void> {
    await this.#insist(record, () => this.#store.write([write]));
  }

  /** Ends the heartbeats: the response is stored, or the work ended without one. */
  done(record: Claimed): void {
    if (this.holds(record)) this.#held.delete(record.id);
  }

  /** Ends all retries. Claims of this process expire when others see no heartbeat. */
  close(): void {
    this.#closing.abort();
    clearInterval(this.#timer);
    this.#held.clear();
  }

  /** Tries it now, and retries in the background until it succeeds, becomes obsolete, or the process ends. */
  async #insist(record: Claimed, work: () => Promise<void>): Promise<void> {
    const finished = () => {
      this.done(record);
      if (this.isEnding(record)) this.#ending.delete(record.id);
    };
    try {
      await unlessLost(work());
      finished();
    } catch (error) {
      this.#log.warn({ err: error }, 'the outcome for an Idempotency-Key could not be stored; retrying');
      void this.#again(work).then(finished);
    }
  }

  async #again(work: () => Promise<void>): Promise<void> {
    const { signal } = this.#closing;
    let pause = firstPause;
    let done = false;
    while (!done) {
      try {
        await sleep(pause * (1 + Math.random() / 10), undefined, { signal, ref: false });
      } catch {
        return;
      }
      pause = Math.min(2 * pause, longestPause);
      done = await unlessLost(work()).then(
        () => true,
        () => false,
      );
    }
  }

  /**
   * Removes only this exact claim: after a failure it is unknown whether it was already removed, or never stored, and
   * has been claimed again by another process.
   */
  async #removeOwn(record: Claimed): Promise<void> {
    const found = await this.#store.get(idempotency, record.id);
    const { owner, created } = record.value;
    if (found?.revision !== record.revision || found.value.answer !== undefined) return;
    if (found.value.owner !== owner || found.value.created !== created) return;
    await this.#store.write([remove(idempotency, found)]);
  }

  #beat(): void {
    if (this.#held.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    const old = performance.now() - this.#intervalMs;
    for (const held of this.#held.values()) if (held.since <= old) void this.#show(held);
  }

  /** The heartbeat. The revision stays, so that it does not conflict with the batch of the effect. */
  async #show(held: Held): Promise<void> {
    const { record } = held;
    const value = { ...record.value, beat: (record.value.beat ?? 0) + 1 };
    try {
      await this.#store.write([{ ...replace(idempotency, record, value), keepRevision: true }]);
      held.record = { ...record, value };
    } catch (error) {
      // The response is stored, or another process has the claim.
      if (error instanceof StoreConflict) this.done(record);
    }
  }
}

/** A conflict means that the effect was stored after all, with its response, or that another request took over. */
async function unlessLost(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof StoreConflict)) throw error;
  }
}

/** The right to do the work of a key, or the response if it has been done. */
export class IdempotencyClaim {
  readonly answer: StoredResponse | undefined;
  readonly #keeper: ClaimKeeper;
  readonly #record: Claimed;
  /** The response that was added to a batch. */
  #kept: string | undefined;

  constructor(keeper: ClaimKeeper, record: Claimed) {
    this.#keeper = keeper;
    this.#record = record;
    this.answer = record.value.answer;
  }

  /** The write that stores the response, for the batch of the effect. */
  writes(answer: StoredResponse): Write[] {
    this.#kept = JSON.stringify(answer);
    return [this.#keep(answer, this.#record.revision)];
  }

  /** Stores the final response, unless the batch of the effect has stored the same. A failed batch stored nothing. */
  async finish(answer: StoredResponse, afterFailure = false): Promise<void> {
    const { revision } = this.#record;
    if (this.#kept === undefined || afterFailure)
      await this.#keeper.keep(this.#record, this.#keep(answer, revision));
    else if (this.#kept !== JSON.stringify(answer))
      await this.#keeper.keep(this.#record, this.#keep(answer, revision + 1));
    else this.#keeper.done(this.#record);
  }

  /** Releases the key, so that a repeat does the work: nothing was done. */
  release(): Promise<void> {
    return this.#keeper.release(this.#record);
  }

  /** What a failure means to the caller: without the claim it must not do the work, because another request does. */
  explain(error: unknown): unknown {
    const lost =
      error instanceof StoreConflict &&
      error.collection === idempotency.name &&
      error.key === this.#record.id;
    return lost ? running(error) : error;
  }

  #keep(answer: StoredResponse, revision: number): Write {
    return replace(idempotency, { ...this.#record, revision }, { ...this.#record.value, answer });
  }
}

export function running(cause?: unknown): ApiError {
  return new ApiError(
    'idempotency_in_progress',
    'The first request with this Idempotency-Key is still running.',
    {
      cause,
      headers: { 'Retry-After': '1' },
    },
  );
}
