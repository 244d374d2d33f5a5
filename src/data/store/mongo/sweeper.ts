/** What every process does now and then, so that nothing half made stays: entries applied, old places cleared. */
import type { Db } from 'mongodb';
import type { GroupCommit } from './group-commit.js';
import { type AnyCollection, entryOf, type StoredDocument } from './documents.js';
import type { Journal } from './journal.js';
import type { PreparedWrite } from './plan.js';

/** Milliseconds. */
const sweepEvery = 2000;
const tidyEvery = 10 * 60_000;
/** No process is so late in applying an insert. A little less than the time between two looks, or the second would be too early. */
const placeAge = 9 * 60_000;
const placesAtOnce = 100;
/** Milliseconds after which the rest of the places waits for the next time. */
const tidyTime = 60_000;

export class Sweeper {
  readonly #db: Db;
  readonly #journal: Journal;
  readonly #commits: GroupCommit;
  readonly #collections: readonly AnyCollection[];
  readonly #timers: NodeJS.Timeout[] = [];
  #stopped = false;
  /** The end of the journal as it was a while ago by this process's even clock; other clocks may say anything. */
  #before = { number: 0, at: performance.now() };

  constructor(db: Db, journal: Journal, commits: GroupCommit, collections: readonly AnyCollection[]) {
    this.#db = db;
    this.#journal = journal;
    this.#commits = commits;
    this.#collections = collections;
  }

  start(): void {
    this.#every(sweepEvery, () => this.#journal.sweep());
    this.#every(tidyEvery, () => this.tidy(placeAge));
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** A sweep that fails, say because the server is away, is made up for by the next. */
  #every(milliseconds: number, work: () => Promise<void>): void {
    let busy = false;
    const run = async () => {
      if (busy) return;
      busy = true;
      await work().catch(() => undefined);
      busy = false;
    };
    this.#timers.push(setInterval(() => void run(), milliseconds).unref());
  }

  /** Drops journal entries that nobody needs, and clears places that were there for so many milliseconds at the last look. */
  async tidy(age: number): Promise<void> {
    await this.#journal.trim();
    // Removes within transactions leave no place.
    if (this.#journal.transactional || performance.now() - this.#before.at < age) return;
    const { number: upTo } = this.#before;
    this.#before = { number: (await this.#journal.head()).number, at: performance.now() };
    const end = performance.now() + tidyTime;
    for (const collection of this.#collections) await this.#clear(collection, upTo, end);
  }

  async #clear(collection: AnyCollection, upTo: number, end: number): Promise<void> {
    const places = this.#db
      .collection<StoredDocument>(collection.name)
      .find({ since: { $gt: 0 } }, { projection: { stamp: 1 } });
    let writes: PreparedWrite[] = [];
    const flush = async () => {
      if (writes.length > 0)
        await this.#commits.submit({ writes, signal: undefined, size: 0 }, () => undefined);
      writes = [];
    };
    for await (const { _id, stamp } of places) {
      if (this.#stopped || performance.now() > end) break;
      if (entryOf(stamp) > upTo) continue;
      writes.push({ op: 'clear', collection, id: _id, revision: 0, next: 0, stamp, quiet: true });
      if (writes.length === placesAtOnce) await flush();
    }
    await flush();
  }
}
