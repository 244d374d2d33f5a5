/**
 * Requests per caller by the generic cell rate algorithm: one number per caller, no timers, smooth refill. The fields
 * follow draft-ietf-httpapi-ratelimit-headers.
 */
import type { ServerResponse } from 'node:http';
import { ApiError } from '../../model/error.js';

export interface RateLimitOptions {
  /** Requests that a caller may send in each window, possibly all at once. 0: no limit. */
  requests: number;
  /** Seconds. */
  window: number;
}

/** Maximum number of tracked callers; beyond it, those with their whole quota are dropped. */
const callerLimit = 10_000;

/** Tolerance in milliseconds for sums of fractions of the clock. */
const slack = 1e-3;

export class RateLimit {
  #interval = 0;
  #span = 0;
  #policy = '';
  /** For each caller, the time (ms, monotonic) at which the whole quota is available again. */
  readonly #full = new Map<string, number>();

  constructor(options: RateLimitOptions) {
    this.change(options);
  }

  /** Sets another limit; if it differs, everybody starts with the whole quota. */
  change({ requests, window }: RateLimitOptions): void {
    const policy = `"default";q=${requests};w=${window}`;
    if (policy === this.#policy) return;
    this.#span = window * 1000;
    this.#interval = requests === 0 ? 0 : this.#span / requests;
    this.#policy = policy;
    this.#full.clear();
  }

  /**
   * Counts one request and sets the header fields. Throws 429 if the quota is used up. `now` is from a monotonic clock:
   * if the wall clock were set back by an hour, everyone would be locked out for that long.
   */
  take(response: Pick<ServerResponse, 'setHeader'>, caller: string, now = performance.now()): void {
    if (this.#interval === 0) return;
    const full = Math.max(this.#full.get(caller) ?? 0, now) + this.#interval;
    const over = full - now - this.#span;
    response.setHeader('RateLimit-Policy', this.#policy);
    if (over > slack) {
      const seconds = Math.max(1, Math.ceil(over / 1000));
      response.setHeader('RateLimit', `"default";r=0;t=${seconds}`);
      throw new ApiError('rate_limited', 'You are sending more requests than allowed.', {
        headers: { 'Retry-After': String(seconds) },
      });
    }
    this.#full.set(caller, full);
    if (this.#full.size > callerLimit) this.#forget(now);
    const left = Math.max(0, Math.floor((slack - over) / this.#interval));
    const reset = Math.max(1, Math.ceil((full - now - slack) / 1000));
    response.setHeader('RateLimit', `"default";r=${left};t=${reset}`);
  }

  #forget(now: number): void {
    for (const [caller, full] of this.#full) if (full <= now) this.#full.delete(caller);
  }
}
