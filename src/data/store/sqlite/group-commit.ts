/**
 * Writes that arrive in one turn of the event loop share a commit, and so its wait for the disk. Each is a savepoint of
 * its own and fails by itself; nobody is told before the commit.
 */
import type { Log } from '../../../model/log.js';
import { storeFailure } from './failure.js';
import type { Statements } from './statements.js';

interface Waiting {
  work: () => unknown;
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
  tell: (result: unknown) => readonly (() => void)[];
}

type Outcome = { result: unknown } | { error: unknown };

export class GroupCommit {
  readonly #statements: Statements;
  readonly #log: Log;
  #waiting: Waiting[] = [];

  constructor(statements: Statements, log: Log) {
    this.#statements = statements;
    this.#log = log;
  }

  /** Resolves with what the work returned, once it is on the disk. Whom `tell` names is called with the news before. */
  run<R>(work: () => R, tell: (result: R) => readonly (() => void)[], signal?: AbortSignal): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      signal?.throwIfAborted();
      this.#waiting.push({ work, resolve, reject, tell } as Waiting);
      if (this.#waiting.length === 1) setImmediate(() => this.flush());
    });
  }

  /** Commits what waits, now. */
  flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length === 0) return;
    let outcomes: Outcome[];
    try {
      outcomes = this.#statements.transaction(() =>
        waiting.length === 1
          ? [{ result: waiting[0]?.work() }]
          : waiting.map((one) => this.#inSavepoint(one)),
      );
    } catch (error) {
      outcomes = waiting.map(() => ({ error }));
    }
    // What awaits an answer runs only after this function, and so after everybody has been told.
    for (const [index, { resolve, reject, tell }] of waiting.entries()) {
      const outcome = outcomes[index] ?? { error: new Error('a write without an outcome') };
      if ('error' in outcome) reject(storeFailure(outcome.error));
      else {
        resolve(outcome.result);
        for (const news of tell(outcome.result)) this.#tell(news);
      }
    }
  }

  /** A listener that fails keeps nobody else from the news. */
  #tell(news: () => void): void {
    try {
      news();
    } catch (error) {
      this.#log.error({ err: error }, 'a listener to the store failed');
    }
  }

  #inSavepoint({ work }: Waiting): Outcome {
    try {
      return { result: this.#statements.nested(work) };
    } catch (error) {
      // A full disk, say, ends the outer transaction too, and with it everybody's work.
      if (!this.#statements.db.inTransaction) throw error;
      return { error };
    }
  }
}
