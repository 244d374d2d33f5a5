/** Periodic work of every process, so that nothing unfinished remains: entries are applied, old tombstones cleared. */
import type { Db } from 'mongodb';
import type { GroupCommit } from './group-commit.js';
import { type AnyCollection, entryOf, type StoredDocument } from './documents.js';
import type { Journal } from './journal.js';
import type { PreparedWrite } from './plan.js';

/** Milliseconds. */
const sweepIntervalMs = 2000;
const tidyIntervalMs = 10 * 60_000;
/**
 * No process applies an insert this late. A little less than the time between two sweeps, or the second would be too
 * early.
 */
const placeAge = 9 * 60_000;
const placesAtOnce = 100;
/** Milliseconds after which the remaining tombstones wait for the next sweep. */
const tidyTime = 60_000;

export class Sweeper {
  readonly #db: Db;
  readonly #journal: Journal;
  readonly #commits: GroupCommit;
  readonly #collections: readonly AnyCollection[];
  readonly #timers: NodeJS.Timeout[] = [];
  #stopped = false;
  /** The end of the journal a while ago, by this process's monotonic clock; other clocks may show anything. */
  #before = { number: 0, at: performance.now() };

  constructor(db: Db, journal: Journal, commits: GroupCommit, collections: readonly AnyCollection[]) {
    this.#db = db;
    this.#journal = journal;
    this.#commits = commits;
    this.#collections = collections;
  }

  start(): void {
    this.#repeat(sweepIntervalMs, () => this.#journal.sweep());
    this.#repeat(tidyIntervalMs, () => this.tidy(placeAge));
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
  }

  /** If a sweep fails, for example because the server is unreachable, the next one makes up for it. */
  #repeat(milliseconds: number, work: () => Promise<void>): void {
    let busy = false;
    const run = async () => {
      if (busy) return;
      busy = true;
      await work().catch(() => undefined);
      busy = false;
    };
    this.#timers.push(setInterval(() => void run(), milliseconds).unref());
  }

  /**
   * Drops journal entries that are no longer needed, and clears tombstones that were this many milliseconds old at the
   * last sweep.
   */
  async tidy(age: number): Promise<void> {
    await this.#journal.trim();
    // Removals within transactions leave no tombstone.
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
