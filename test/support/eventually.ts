/** Waiting in tests: for a condition with a deadline, never for a fixed time. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Deadline {
  /** Milliseconds. */
  within?: number;
  /** What is awaited, for the failure message. */
  what?: string;
}

/** A store behind a network takes several times as long (test/support/store.ts). */
const slowness = process.env['COPSE_TEST_STORE'] === undefined ? 1 : 6;

/**
 * Polls until `look` returns something other than undefined or false, and returns that. Failed assertions in it count
 * as "not yet"; after the deadline the last one is thrown.
 */
export async function eventually<T>(
  look: () => T | Promise<T>,
  { within = 5000, what = 'the condition' }: Deadline = {},
): Promise<Exclude<T, undefined | false>> {
  const deadline = Date.now() + within * slowness;
  let last: unknown;
  do {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found as Exclude<T, undefined | false>;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await sleep(4);
  } while (Date.now() < deadline);
  if (last instanceof Error) throw last;
  throw new Error(`${what} did not come true within ${within} ms`);
}

/** The error of the work. Fails if the work succeeds. */
export async function failureOf(work: (() => unknown) | Promise<unknown>): Promise<Error> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    if (error instanceof Error) return error;
    throw new Error('something was thrown that is not an Error', { cause: error });
  }
  throw new Error('expected a failure, but it succeeded');
}
