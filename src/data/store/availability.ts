/**
 * Whether the store is available, for the health of this process, and the two log lines of an outage: one when it
 * begins, one when it ends.
 *
 * It is probed every second: with a read, and with a write once a caller has met a failure. It counts as unavailable
 * when a probe fails or takes too long, until it accepts a write again: a full disk still serves reads. A caller's
 * failure alone says little: an operation that began in an outage can fail long after it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, isOutage, toApiError } from '../../model/error.js';
import type { Log } from '../../model/log.js';
import { type CollectionSpec, insert, replace, type Store, StoreConflict } from './port.js';

/** One document, written to find out whether the store accepts writes again. */
export const trials: CollectionSpec<{ count: number }> = {
  name: 'trials',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

/** Ms after an outage during which operations that began in it may still fail. */
const aftermath = 30_000;

export interface AvailabilityOptions {
  /** Between two probes of the store. */
  intervalMs?: number;
  /** Timeout of a probe. */
  timeoutMs?: number;
}

/** A probe in progress. */
interface Probe {
  kind: 'read' | 'write';
  ended: Promise<void>;
}

export class Availability {
  readonly #log: Log;
  readonly #intervalMs: number;
  readonly #timeoutMs: number;
  readonly #closing = new AbortController();
  #away: { since: number; why: string } | undefined;
  /** A failure that a caller met since the last probe began. */
  #suspicion: unknown;
  #probe: Probe | undefined;
  #back = -Infinity;
  #stopWaiting: (() => void) | undefined;
  #watching: Promise<void> = Promise.resolve();

  constructor(log: Log, { intervalMs = 1000, timeoutMs = 3000 }: AvailabilityOptions = {}) {
    this.#log = log;
    this.#intervalMs = intervalMs;
    this.#timeoutMs = timeoutMs;
  }

  /** Why the store is unavailable, as a public message; undefined while it is available. */
  get trouble(): string | undefined {
    return this.#away?.why;
  }

  /** Since when the store has been available, by `performance.now()`; `Infinity` while it is not. */
  get usableSince(): number {
    return this.#away === undefined ? this.#back : Infinity;
  }

  /** To be called with every store failure that a caller met. */
  readonly failed = (error: unknown): void => {
    if (this.#away !== undefined || !isOutage(error)) return;
    this.#suspicion ??= error;
  };

  /** Probes the store from now on. */
  watch(store: Store): void {
    this.#watching = this.#watch(store);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#stopWaiting?.();
    await this.#watching;
  }

  async #watch(store: Store): Promise<void> {
    while (!this.#closing.signal.aborted) {
      const suspicion = this.#suspicion;
      // One at a time: more probes do not help when one hangs.
      const probe = (this.#probe ??= this.#begin(store));
      try {
        if (!(await this.#inTime(probe.ended))) return;
        if (probe.kind === 'write') this.#works(suspicion);
      } catch (error) {
        this.#fails(suspicion ?? error);
      }
      await pause(this.#intervalMs, this.#closing.signal);
    }
  }

  #begin(store: Store): Probe {
    const kind = this.#away === undefined && this.#suspicion === undefined ? 'read' : 'write';
    this.#suspicion = undefined;
    const work = kind === 'read' ? store.lastChange() : writeTrial(store);
    const ended = work.then(() => undefined).finally(() => (this.#probe = undefined));
    ended.catch(() => undefined);
    return { kind, ended };
  }

  /** Rejects if the probe fails or times out; false if the result is no longer needed. */
  async #inTime(probing: Promise<void>): Promise<boolean> {
    const stop = new AbortController();
    this.#stopWaiting = () => stop.abort();
    const late = pause(this.#timeoutMs, stop.signal).then(() => {
      if (stop.signal.aborted) return false;
      throw new ApiError('store_unavailable', 'The database does not respond.', {
        headers: { 'Retry-After': '2' },
      });
    });
    try {
      return await Promise.race([probing.then(() => true), late]);
    } finally {
      stop.abort();
    }
  }

  #fails(error: unknown): void {
    const why = isOutage(error) ? toApiError(error).message : 'The database is unavailable.';
    if (this.#away === undefined) this.#log.error({ err: error }, 'the store is unavailable');
    this.#away = { since: this.#away?.since ?? performance.now(), why };
  }

  #works(suspicion: unknown): void {
    if (this.#away !== undefined) {
      const seconds = Math.round((performance.now() - this.#away.since) / 100) / 10;
      this.#log.info({ seconds }, 'the store is available again');
      this.#away = undefined;
      this.#suspicion = undefined;
      this.#back = performance.now();
    } else if (suspicion !== undefined && performance.now() - this.#back > aftermath) {
      this.#log.warn({ err: suspicion }, 'a store operation failed, although the store is available');
    }
  }
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal, ref: false }).catch(() => undefined);
}

async function writeTrial(store: Store): Promise<void> {
  const found = await store.get(trials, 'write');
  const value = { count: (found?.value.count ?? 0) + 1 };
  try {
    await store.write([found === undefined ? insert(trials, 'write', value) : replace(trials, found, value)]);
  } catch (error) {
    // Another process was faster with the same write.
    if (!(error instanceof StoreConflict)) throw error;
  }
}

/** A log without a line for each operation that met the same outage: `Availability` logs it once. */
export function withoutOutages(log: Log): Log {
  const quietly = (level: 'warn' | 'error') => (details: object, message: string) => {
    const { err } = details as { err?: unknown };
    log[isOutage(err) ? 'debug' : level](details, message);
  };
  return {
    debug: (details, message) => log.debug(details, message),
    info: (details, message) => log.info(details, message),
    warn: quietly('warn'),
    error: quietly('error'),
    child: (bindings) => withoutOutages(log.child(bindings)),
  };
}
