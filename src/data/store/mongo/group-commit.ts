/**
 * Writes batches to the journal, one group after the other: those that arrive while a commit is in progress share the
 * next one and its round trips.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from 'mongodb';
import { uuidv7 } from 'uuidv7';
import { isAway, unavailable } from './failure.js';
import type { Moment } from './clock.js';
import { type Entry, entryId, type Head } from './entry.js';
import type { Journal } from './journal.js';
import { type Batch, type Plan, planOf } from './plan.js';
import { Versions } from './versions.js';

interface Waiting extends Batch {
  resolve: () => void;
  reject: (error: unknown) => void;
  tell: () => void;
}

/** Batches and bytes of one entry, unless a single batch is larger. */
const groupLimit = 500;
const groupBytes = 4 * 1024 * 1024;
/** A server accepts documents of up to 16 MiB; the rest is for the other fields. */
const batchBytes = 14 * 1024 * 1024;
/** Number of lost races after which something else must be wrong. */
const tries = 500;
/** Number of cached documents, and milliseconds without a commit after which they are dropped. */
const remembered = 5000;
const memory = 1000;

export class GroupCommit {
  readonly #db: Db;
  readonly #journal: Journal;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #closed = false;
  #known: { versions: Versions; entry: number; at: Moment } | undefined;

  constructor(db: Db, journal: Journal) {
    this.#db = db;
    this.#journal = journal;
  }

  /** Resolves when the batch is stored; `tell` is called just before anyone else can know. */
  submit(batch: Batch, tell: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      batch.signal?.throwIfAborted();
      if (this.#closed) throw unavailable(new Error('the store is closed'));
      if (batch.size > batchBytes)
        throw new Error(
          `A batch of ${batch.size} bytes is more than the ${batchBytes} that one entry can hold`,
        );
      this.#waiting.push({ ...batch, resolve, reject, tell });
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    // Collects the writes of one turn of the event loop.
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) {
      const group = this.#take();
      try {
        await this.#commit(group);
      } catch (error) {
        for (const batch of group) batch.reject(isAway(error) ? unavailable(error) : error);
      }
    }
    this.#running = undefined;
  }

  #take(): Waiting[] {
    let count = 0;
    let bytes = 0;
    for (const { size } of this.#waiting) {
      if (count > 0 && (count === groupLimit || bytes + size > groupBytes)) break;
      bytes += size;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    let head = await this.#journal.assumedHead();
    for (let tried = 0; tried < tries; tried += 1) {
      const plan = await planOf(this.#recall(head), head, group, this.#journal.transactional);
      if (await this.#store(head, plan)) {
        this.#remember(head, plan);
        answer(plan);
        return;
      }
      // Random each time, so that processes that collided once do not collide again.
      if (tried > 0) await sleep(Math.random() * Math.min(200, 2 ** Math.min(tried, 8)));
      head = await this.#journal.head();
    }
    throw unavailable(new Error(`lost ${tries} races for the journal`));
  }

  /**
   * The state after the entry at the head, if this process knows it: as long as its own entries follow each other,
   * nothing else has been written.
   */
  #recall({ number }: Head): Versions {
    const known = this.#known;
    this.#known = undefined;
    const holds = known?.entry === number && this.#journal.clock.since(known.at) < memory;
    return holds ? known.versions : new Versions(this.#db);
  }

  #remember({ number }: Head, { versions, steps }: Plan<Waiting>): void {
    if (versions.size > remembered) return;
    this.#known = {
      versions,
      entry: steps.length === 0 ? number : number + 1,
      at: this.#journal.clock.moment(),
    };
  }

  /** False if the head has moved in the meantime: then neither acceptances nor refusals are valid. */
  async #store(head: Head, plan: Plan<Waiting>): Promise<boolean> {
    if (!plan.current) return false;
    if (plan.steps.length === 0) return this.#journal.isLast(head);
    const entry: Entry = {
      _id: entryId(head.number + 1),
      token: uuidv7(),
      time: this.#journal.clock.now(),
      applied: false,
      last: head.last + plan.changes.length,
      steps: plan.steps,
      changes: plan.changes,
    };
    return this.#journal.commit(head, entry);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }
}

/** All are resolved before anyone is notified; code that awaits a result runs only after this function. */
function answer({ fitting, refused }: Plan<Waiting>): void {
  for (const { batch, error } of refused) batch.reject(error);
  for (const batch of fitting) batch.resolve();
  for (const batch of fitting) batch.tell();
}
