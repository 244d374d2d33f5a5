/**
 * The journal: one numbered entry for each commit, of all processes. A commit is the insert of the next number, which
 * only one can win; what an entry says is then applied, by its writer or by whoever finds it unapplied. Nobody commits
 * before the entry before is applied. docs/store-mongodb.md tells why that is enough.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientSession, Collection, Db } from 'mongodb';
import { type ChangeDocument, changeDocuments, changesName } from './change-log.js';
import { isAway, isDuplicate, unavailable } from './connection.js';
import type { StoredDocument } from './documents.js';
import { type Entry, entryId, type Head, type Step } from './entry.js';
import { insertOnce, takeSteps, takeStepsIn } from './steps.js';
import type { TransactionRunner } from './transaction.js';

export const journalName = 'copse_journal';

/** Milliseconds that a process has to apply its entry before others do it for it. */
const grace = 1000;
/** Milliseconds for which a process goes on trying to apply its own entry while the server is away. */
const patience = 15_000;
/** Milliseconds after which what is known of the journal's end is looked up anew. */
const staleAfter = 60_000;
/** Milliseconds after the last entry until it is marked as applied. */
const markAfter = 50;
/** Milliseconds that entries are kept, far longer than any process may act on what it knew before. */
const retention = 3_600_000;

export class Journal {
  readonly #entries: Collection<Entry>;
  readonly #db: Db;
  readonly #transactions: TransactionRunner | undefined;
  /** The latest entry that this process knows of, and whether it is applied. */
  #head: Head = { number: 0, last: 0 };
  #applied = -1;
  #seenAt = 0;
  #applying: Promise<void> | undefined;
  #settling: Promise<Head> | undefined;
  /** An entry of this process that it could not apply yet. */
  #unfinished: string | undefined;
  #stripped = 0;
  #marked = 0;
  #marking: NodeJS.Timeout | undefined;

  constructor(db: Db, transactions: TransactionRunner | undefined) {
    this.#db = db;
    this.#entries = db.collection<Entry>(journalName);
    this.#transactions = transactions;
  }

  get transactional(): boolean {
    return this.#transactions !== undefined;
  }

  /** What this process may take for the end without asking: the commit shows whether it is. */
  async assumedHead(): Promise<Head> {
    await this.#applying;
    const stale = Math.abs(Date.now() - this.#seenAt) > staleAfter;
    return stale || this.#applied < this.#head.number ? this.head() : this.#head;
  }

  /** The end of the journal as it is now, applied. */
  head(): Promise<Head> {
    this.#settling ??= this.#settle().finally(() => (this.#settling = undefined));
    return this.#settling;
  }

  /** Whether the entry is still the last. */
  async isLast({ number }: Head): Promise<boolean> {
    return (await this.#entries.findOne({ _id: entryId(number + 1) }, { projection: { _id: 1 } })) === null;
  }

  isSettled(number: number): boolean {
    return number <= this.#applied;
  }

  /** Waits until the entry, of which a reader has seen a part, is seen whole. */
  async settled(number: number): Promise<void> {
    await this.#applying;
    // Documents that were brought here without the journal may be ahead of it.
    for (let tried = 0; this.#applied < number && tried < 3; tried += 1) await this.head();
  }

  /** Resolves when this process is not in the middle of applying; undefined when it is not. */
  underWay(): Promise<void> | undefined {
    return this.#applying;
  }

  async #settle(): Promise<Head> {
    await this.#applying;
    await this.#lookAhead();
    if (this.#applied < this.#head.number) await this.#catchUp(this.#head);
    return this.#head;
  }

  async #lookAhead(): Promise<void> {
    const asked = Date.now();
    const projection = { steps: 0, changes: 0 };
    if (Math.abs(asked - this.#seenAt) > staleAfter) {
      const last = await this.#entries.find({}, { projection }).sort({ _id: -1 }).limit(1).next();
      this.#see(last);
    } else {
      for (;;) {
        const next = await this.#entries.findOne({ _id: entryId(this.#head.number + 1) }, { projection });
        if (next === null) break;
        this.#see(next);
      }
    }
    this.#seenAt = asked;
  }

  #see(entry: Entry | null): void {
    const number = entry === null ? 0 : Number(entry._id);
    if (number < this.#head.number) return;
    this.#head = { number, last: entry?.last ?? 0 };
    // Whoever commits has seen the entry before applied.
    this.#applied = Math.max(this.#applied, entry === null || entry.applied ? number : number - 1);
  }

  /** Gives the writer a moment to apply its entry, then does it. */
  async #catchUp({ number }: Head): Promise<void> {
    const end = Date.now() + grace;
    for (;;) {
      const entry = await this.#entries.findOne({ _id: entryId(number) });
      if (entry === null || entry.applied) break;
      if (entry.token === this.#unfinished || Date.now() > end) {
        await this.#apply(entry);
        break;
      }
      await sleep(20);
      if (!(await this.isLast({ number, last: 0 }))) break;
    }
    this.#finish(number);
  }

  #finish(number: number): void {
    this.#applied = Math.max(this.#applied, number);
    this.#unfinished = undefined;
    // While entries follow each other, each tells that the one before it is applied.
    if (this.#marking === undefined)
      this.#marking = setTimeout(() => void this.#mark().catch(() => undefined), markAfter).unref();
    else this.#marking.refresh();
  }

  /**
   * Commits the entry as the one behind the head and applies it. False when another process was faster. Rejects with
   * `unavailable` when the server is away and the outcome is open.
   */
  async commit(head: Head, entry: Entry): Promise<boolean> {
    const committing = this.#commit(head, entry);
    this.#applying = committing.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await committing;
    } finally {
      this.#applying = undefined;
    }
  }

  async #commit(head: Head, entry: Entry): Promise<boolean> {
    const number = head.number + 1;
    if (!(await this.#insert(entry))) return false;
    // A process that slept so long may have begun a number that was used and dropped long ago.
    if (Math.abs(Date.now() - entry.time) > retention / 4 && !(await this.#follows(head))) {
      this.#seenAt = 0;
      return false;
    }
    this.#unfinished = entry.token;
    this.#head = { number, last: entry.last };
    if (this.#transactions === undefined) await this.#applyPatiently(entry);
    this.#seenAt = entry.time;
    this.#finish(number);
    return true;
  }

  async #follows({ number }: Head): Promise<boolean> {
    return number === 0 || (await this.#entries.findOne({ _id: entryId(number) })) !== null;
  }

  async #insert(entry: Entry): Promise<boolean> {
    try {
      if (this.#transactions === undefined) {
        await this.#entries.insertOne(entry);
        return true;
      }
      const { steps, changes, ...bare } = entry;
      return await this.#transactions.run(async (session) => {
        await this.#entries.insertOne({ ...bare, applied: true }, { session });
        await this.#apply(entry, session);
      });
    } catch (error) {
      if (isDuplicate(error)) return this.#isOwn(entry);
      if (!isAway(error)) throw error;
      this.#seenAt = 0;
      try {
        if (await this.#isOwn(entry)) return true;
      } catch {
        // Still away: the outcome stays open.
      }
      throw unavailable(error);
    }
  }

  /** Whether the entry of this number is this one: the answer to the insert may have been lost. */
  async #isOwn({ _id, token }: Entry): Promise<boolean> {
    const found = await this.#entries.findOne({ _id }, { projection: { token: 1 } });
    return found?.token === token;
  }

  async #applyPatiently(entry: Entry): Promise<void> {
    const end = Date.now() + patience;
    for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
      try {
        await this.#apply(entry);
        return;
      } catch (error) {
        if (!isAway(error)) throw error;
        this.#seenAt = 0;
        if (Date.now() > end) throw unavailable(error);
        await sleep(pause);
      }
    }
  }

  /** Every step of it, in order within its collection. May be done any number of times, by any number of processes. */
  async #apply(entry: Entry, session?: ClientSession): Promise<void> {
    const byCollection = new Map<string, Step[]>();
    for (const step of entry.steps ?? []) {
      const known = byCollection.get(step.collection);
      if (known === undefined) byCollection.set(step.collection, [step]);
      else known.push(step);
    }
    const changes = changeDocuments(entry);
    const log = this.#db.collection<ChangeDocument>(changesName);
    if (session === undefined) {
      const working = [...byCollection].map(([name, steps]) => takeSteps(this.#of(name), steps));
      if (changes.length > 0) working.push(insertOnce(log, changes));
      await Promise.all(working);
      return;
    }
    // A session does one thing at a time.
    for (const [name, steps] of byCollection) await takeStepsIn(session, this.#of(name), steps);
    if (changes.length > 0) await log.insertMany(changes, { session });
  }

  #of(name: string): Collection<StoredDocument> {
    return this.#db.collection<StoredDocument>(name);
  }

  /** Tells the others that the last entry is applied, and drops its content. */
  async #mark(): Promise<void> {
    this.#marking = undefined;
    const number = this.#applied;
    if (number <= this.#marked) return;
    await this.#entries.updateOne({ _id: entryId(number) }, stripped);
    this.#marked = number;
  }

  /** Applies what a dead process left, and drops the content of entries that are applied. */
  async sweep(): Promise<void> {
    const { number } = await this.head();
    if (number > this.#stripped) {
      await this.#entries.updateMany(
        { _id: { $gt: entryId(this.#stripped), $lt: entryId(number) } },
        stripped,
      );
      this.#stripped = number - 1;
    }
  }

  /** Drops entries that nobody can need any more; the last always stays. */
  async trim(): Promise<void> {
    const { number } = await this.head();
    await this.#entries.deleteMany({
      _id: { $lt: entryId(number) },
      time: { $lt: Date.now() - retention },
    });
  }

  async close(): Promise<void> {
    await this.#applying;
    clearTimeout(this.#marking);
    await this.#mark().catch(() => undefined);
  }
}

const stripped = { $set: { applied: true }, $unset: { steps: 1, changes: 1 } } as const;
