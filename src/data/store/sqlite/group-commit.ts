/**
 * Writes that arrive in one turn of the event loop share a commit, and so its wait for the disk. Each has its own
 * savepoint and fails by itself; no one is notified before the commit.
 *
 * While another process writes, they wait without blocking the event loop: reads and everything else continue.
 */
import type { Log } from '../../../model/log.js';
import type { Interruption } from '../../../model/interruption.js';
import { isBusy, storeFailure } from './failure.js';
import type { Statements } from './statements.js';

/** Milliseconds between two attempts, plus up to as many at random, so that no process is always late. */
const pause = 10;

interface Waiting {
  signal: Interruption | undefined;
  /** Start of the wait. */
  since: number;
  work: () => unknown;
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
  tell: (result: unknown) => readonly (() => void)[];
}

export interface CommitRules {
  /** The time that a write waits for another process. Default: 5,000. */
  timeoutMs: number;
  /** Throws if nothing may be written now. */
  check: () => void;
  /** What callers get instead of a failure. */
  failureFor: (error: unknown) => unknown;
}

type Outcome = { result: unknown } | { error: unknown };

export class GroupCommit {
  readonly #statements: Statements;
  readonly #log: Log;
  /** The time that a write waits for another process. */
  readonly #timeoutMs: number;
  readonly #check: () => void;
  readonly #failureFor: (error: unknown) => unknown;
  #waiting: Waiting[] = [];
  #again: NodeJS.Timeout | undefined;

  constructor(statements: Statements, log: Log, rules: Partial<CommitRules> = {}) {
    this.#timeoutMs = rules.timeoutMs ?? 5000;
    this.#statements = statements;
    this.#log = log;
    this.#check = rules.check ?? (() => undefined);
    this.#failureFor = rules.failureFor ?? storeFailure;
  }

  /** Resolves with the result of the work once it is on disk. `tell` is called before that. */
  run<R>(work: () => R, tell: (result: R) => readonly (() => void)[], signal?: Interruption): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      signal?.throwIfAborted();
      this.#waiting.push({ work, resolve, reject, tell, signal, since: performance.now() } as Waiting);
      if (this.#waiting.length === 1) setImmediate(() => this.flush());
    });
  }

  /** Commits pending writes now; while another process writes, a little later, unless it is the last chance. */
  flush(last = false): void {
    clearTimeout(this.#again);
    const waiting = this.#waiting.filter((one) => !isGivenUp(one));
    this.#waiting = [];
    if (waiting.length === 0) return;
    try {
      this.#check();
      this.#tellAll(waiting, this.#commit(waiting));
    } catch (error) {
      const late = (one: Waiting) =>
        last || !isBusy(error) || performance.now() - one.since > this.#timeoutMs;
      for (const one of waiting.filter(late)) one.reject(this.#failureFor(error));
      this.#waiting = waiting.filter((one) => !late(one));
      if (this.#waiting.length > 0) this.#again = setTimeout(() => this.flush(), pause * (1 + Math.random()));
    }
  }

  #commit(waiting: readonly Waiting[]): Outcome[] {
    return this.#statements.transaction(() =>
      waiting.length === 1 ? [{ result: waiting[0]?.work() }] : waiting.map((one) => this.#inSavepoint(one)),
    );
  }

  #tellAll(waiting: readonly Waiting[], outcomes: readonly Outcome[]): void {
    // Code that awaits a result runs only after this function, and so after all notifications.
    for (const [index, { resolve, reject, tell }] of waiting.entries()) {
      const outcome = outcomes[index] ?? { error: new Error('a write without an outcome') };
      if ('error' in outcome) reject(this.#failureFor(outcome.error));
      else {
        resolve(outcome.result);
        for (const news of tell(outcome.result)) this.#tell(news);
      }
    }
  }

  /** A failing listener must not keep the others from being notified. */
  #tell(news: () => void): void {
    try {
      news();
    } catch (error) {
      this.#log.error({ err: error }, 'a store listener failed');
    }
  }

  #inSavepoint({ work }: Waiting): Outcome {
    try {
      return { result: this.#statements.nested(work) };
    } catch (error) {
      // A full disk, for example, also ends the outer transaction, and with it all work in it.
      if (!this.#statements.db.inTransaction) throw error;
      return { error };
    }
  }
}

/** A write whose caller gave up before it began is left out. */
function isGivenUp({ signal, reject }: Waiting): boolean {
  if (signal?.aborted !== true) return false;
  reject(signal.reason);
  return true;
}
