/**
 * Writes that arrive in one turn of the event loop share a commit, and so its wait for the disk. Each is a savepoint of
 * its own and fails by itself; nobody is told before the commit.
 */
import type { Statements } from './statements.js';

interface Waiting {
  work: () => unknown;
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
  tell: (result: unknown) => void;
}

type Outcome = { result: unknown } | { error: unknown };

export class GroupCommit {
  readonly #statements: Statements;
  #waiting: Waiting[] = [];

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  /** Resolves with what the work returned, once it is on the disk; `tell` is called with the same, before. */
  run<R>(work: () => R, tell: (result: R) => void, signal?: AbortSignal): Promise<R> {
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
    // All are answered before anybody is told, so that a listener that throws keeps nobody waiting; what awaits the
    // answer runs only after this function.
    const done = waiting.map((one, index) => ({ one, outcome: outcomes[index] ?? { error: undefined } }));
    for (const { one, outcome } of done) {
      if ('error' in outcome) one.reject(outcome.error);
      else one.resolve(outcome.result);
    }
    for (const { one, outcome } of done) {
      if ('result' in outcome) one.tell(outcome.result);
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
