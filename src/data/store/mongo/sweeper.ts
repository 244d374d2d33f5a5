/** What every process does now and then, so that nothing half made stays: entries applied, old places cleared. */
import type { Db } from 'mongodb';
import type { Committer } from './committer.js';
import type { AnyCollection, StoredDocument } from './documents.js';
import type { Journal } from './journal.js';
import type { PreparedWrite } from './plan.js';

/** Milliseconds. */
const sweepEvery = 2000;
const tidyEvery = 10 * 60_000;
/** No process is so late in applying an insert. */
const placeAge = 10 * 60_000;
const placesAtOnce = 100;

export class Sweeper {
  readonly #db: Db;
  readonly #journal: Journal;
  readonly #committer: Committer;
  readonly #collections: readonly AnyCollection[];
  readonly #timers: NodeJS.Timeout[] = [];
  #busy = false;

  constructor(db: Db, journal: Journal, committer: Committer, collections: readonly AnyCollection[]) {
    this.#db = db;
    this.#journal = journal;
    this.#committer = committer;
    this.#collections = collections;
  }

  start(): void {
    this.#every(sweepEvery, () => this.#journal.sweep());
    this.#every(tidyEvery, () => this.tidy(placeAge));
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** A sweep that fails, say because the server is away, is made up for by the next. */
  #every(milliseconds: number, work: () => Promise<void>): void {
    const run = async () => {
      if (this.#busy) return;
      this.#busy = true;
      await work().catch(() => undefined);
      this.#busy = false;
    };
    this.#timers.push(setInterval(() => void run(), milliseconds).unref());
  }

  /** Clears places older than so many milliseconds, and drops journal entries that nobody needs. */
  async tidy(age: number): Promise<void> {
    await this.#journal.trim();
    for (const collection of this.#collections) {
      const places = await this.#db
        .collection<StoredDocument>(collection.name)
        .find({ revision: 0, since: { $lt: Date.now() - age } }, { limit: placesAtOnce })
        .toArray();
      const writes = places.map(({ _id, stamp }): PreparedWrite => {
        return { op: 'clear', collection, id: _id, revision: 0, next: 0, stamp, quiet: true };
      });
      if (writes.length > 0)
        await this.#committer.submit({ writes, signal: undefined, size: 0 }, () => undefined);
    }
  }
}
