/**
 * The journal: one numbered entry per commit of any process. A commit is the insert of the next number, which only one
 * process can win; the entry is then applied, by its writer or by a process that finds it unapplied. Nothing is
 * committed before the previous entry is applied. docs/store-mongodb.md explains why that is enough.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientSession, Collection, Db } from 'mongodb';
import { type ChangeDocument, changeDocuments, changesName } from './change-log.js';
import { Clock, longAgo, type Moment } from './clock.js';
import { isAway, isDuplicate, unavailable } from './failure.js';
import type { StoredDocument } from './documents.js';
import { type Entry, entryId, type Head, type Step } from './entry.js';
import { insertOnce, takeSteps, takeStepsIn } from './steps.js';
import type { TransactionRunner } from './transaction.js';

export const journalName = 'copse_journal';

/** Milliseconds that a process gets to apply its entry before others do it. */
const grace = 1000;
/** Time during which a process retries to apply its own entry while the server is unavailable. */
const timeoutMs = 15_000;
/** Milliseconds after which the cached end of the journal is looked up again. */
const staleAfter = 60_000;
/** Milliseconds during which an entry that was seen is certainly not trimmed yet. */
const surelyThere = 1000;
/** Milliseconds between two rounds of marking, so that many commits share one. */
const markPause = 10;
/** Milliseconds for which entries are retained, far longer than any process may act on outdated knowledge. */
const retention = 3_600_000;
/** Number of entries that are retained regardless of age, since age depends on clocks. */
const alwaysKept = 10_000;

/** The entry would not be part of the journal: its predecessor was dropped long ago, and so was its number. */
class NotTheEnd extends Error {
  override readonly name = 'NotTheEnd';
}

export class Journal {
  readonly #entries: Collection<Entry>;
  readonly #db: Db;
  readonly #transactions: TransactionRunner | undefined;
  readonly clock: Clock;
  /** The latest entry that this process knows of, and whether it is applied. */
  #head: Head = { number: 0, last: 0 };
  #applied = -1;
  #seenAt: Moment = longAgo;
  #others = 0;
  #applying: Promise<void> | undefined;
  #settling: Promise<Head> | undefined;
  /** The latest entry of this process, until it is applied. */
  #unfinished: { number: number; token: string } | undefined;
  /** Entries that this process has applied but not marked yet. */
  #unmarked: number[] = [];
  #marking: Promise<void> | undefined;
  #stripped = 0;

  constructor(db: Db, transactions: TransactionRunner | undefined, clock = new Clock()) {
    this.clock = clock;
    this.#db = db;
    this.#entries = db.collection<Entry>(journalName);
    this.#transactions = transactions;
  }

  get transactional(): boolean {
    return this.#transactions !== undefined;
  }

  /** What this process may assume to be the end without reading: the commit shows whether it is. */
  async assumedHead(): Promise<Head> {
    await this.#applying;
    const stale = this.clock.since(this.#seenAt) > staleAfter;
    return stale || this.#applied < this.#head.number ? this.head() : this.#head;
  }

  /** The end of the journal as it is now, applied. */
  head(): Promise<Head> {
    this.#settling ??= this.#settle().finally(() => (this.#settling = undefined));
    return this.#settling;
  }

  /** Whether the entry is still the last. */
  async isLast(head: Head): Promise<boolean> {
    return !(await this.#has(head.number + 1)) && this.#follows(head);
  }

  async #has(number: number, session?: ClientSession): Promise<boolean> {
    const options = { projection: { _id: 1 }, ...(session === undefined ? {} : { session }) };
    return (await this.#entries.findOne({ _id: entryId(number) }, options)) !== null;
  }

  async #last(session?: ClientSession): Promise<Entry | null> {
    const options = { projection: bare, ...(session === undefined ? {} : { session }) };
    return this.#entries.find({}, options).sort({ _id: -1 }).limit(1).next();
  }

  /**
   * A free number is the next one only while its predecessor exists: entries are dropped from the first on, the last
   * never. A number that was used and dropped is free too.
   */
  async #follows({ number }: Head, session?: ClientSession): Promise<boolean> {
    if (number === this.#head.number && this.clock.since(this.#seenAt) < surelyThere) return true;
    return number === 0 ? Number((await this.#last(session))?._id ?? 0) <= 1 : this.#has(number, session);
  }

  /** Increases with each read that finds entries of other processes. */
  get others(): number {
    return this.#others;
  }

  isSettled(number: number): boolean {
    return number <= this.#applied;
  }

  /** Waits until an entry that a reader has partly seen is completely applied. */
  async settled(number: number): Promise<void> {
    await this.#applying;
    // Documents that were written without the journal may be ahead of it.
    for (let tried = 0; this.#applied < number && tried < 3; tried += 1) await this.head();
  }

  /** Resolves when this process has finished applying; undefined if it is not applying. */
  underWay(): Promise<void> | undefined {
    return this.#applying;
  }

  async #settle(): Promise<Head> {
    await this.#applying;
    await this.#refresh();
    // Not read again after the waits: by then, this process may have committed an entry that is not applied yet.
    const head = this.#head;
    await this.#applying;
    if (this.#applied < head.number) await this.#catchUp(head);
    return head;
  }

  async #refresh(): Promise<void> {
    const asked = this.clock.moment();
    if (this.clock.since(this.#seenAt) > staleAfter || !(await this.#walk())) this.#see(await this.#last());
    this.#seenAt = asked;
  }

  /** From entry to entry; false if that does not lead to the end because entries were dropped. */
  async #walk(): Promise<boolean> {
    for (;;) {
      const asked = this.clock.moment();
      const _id = entryId(this.#head.number + 1);
      const next = await this.#entries.findOne({ _id }, { projection: bare });
      if (next === null) return this.#follows(this.#head);
      this.#see(next);
      this.#seenAt = asked;
    }
  }

  #see(entry: Entry | null): void {
    const number = entry === null ? 0 : Number(entry._id);
    if (number < this.#head.number) return;
    // This process's own commits move the head without a read.
    if (number > this.#head.number) this.#others += 1;
    this.#head = { number, last: entry?.last ?? 0 };
    // A process that commits has seen the previous entry applied.
    this.#applied = Math.max(this.#applied, entry === null || entry.applied ? number : number - 1);
  }

  /** Gives the writer time to apply its entry as long as it sends heartbeats, then applies it. */
  async #catchUp({ number }: Head): Promise<void> {
    let end = Date.now() + grace;
    let beat: number | undefined;
    const _id = entryId(number);
    for (let pause = 4; ; pause = Math.min(pause * 2, 32)) {
      const entry = await this.#entries.findOne({ _id }, { projection: bare });
      if (entry === null || entry.applied) break;
      if (entry.beat !== beat) [beat, end] = [entry.beat, Date.now() + grace];
      if (entry.token === this.#unfinished?.token || Date.now() > end) {
        const whole = await this.#entries.findOne({ _id });
        if (whole !== null && !whole.applied) await this.#apply(whole);
        this.#mark(number);
        break;
      }
      await sleep(pause);
      if (number <= this.#applied || !(await this.isLast({ number, last: 0 }))) break;
    }
    this.#finish(number);
  }

  #finish(number: number): void {
    this.#applied = Math.max(this.#applied, number);
    if (this.#unfinished !== undefined && this.#unfinished.number <= number) this.#unfinished = undefined;
  }

  /**
   * Commits the entry after the head and applies it. False if another process was faster. Rejects with `unavailable` if
   * the server is unreachable and the outcome unknown.
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
    if (this.#head.number > head.number) return false;
    const asked = this.clock.moment();
    if (!(await this.#insert(head, entry))) return false;
    if (this.#transactions === undefined && !(await this.#follows(head))) {
      await this.#entries.deleteOne({ _id: entry._id, token: entry.token });
      this.#seenAt = longAgo;
      return false;
    }
    this.#unfinished = { number, token: entry.token };
    this.#head = { number, last: entry.last };
    if (this.#transactions === undefined) {
      await this.#applyAlive(entry);
      this.#mark(number);
    }
    this.#seenAt = asked;
    this.#finish(number);
    return true;
  }

  async #insert(head: Head, entry: Entry): Promise<boolean> {
    try {
      if (this.#transactions === undefined) {
        await this.#entries.insertOne(entry);
        return true;
      }
      const { steps, changes, ...rest } = entry;
      return await this.#transactions.run(async (session) => {
        await this.#entries.insertOne({ ...rest, applied: true }, { session });
        if (!(await this.#follows(head, session))) throw new NotTheEnd();
        await this.#apply(entry, session);
      });
    } catch (error) {
      if (isDuplicate(error)) return this.#isOwn(entry);
      if (!isAway(error) && !(error instanceof NotTheEnd)) throw error;
      this.#seenAt = longAgo;
      if (error instanceof NotTheEnd) return false;
      try {
        if (await this.#isOwn(entry)) return true;
      } catch {
        // Still unreachable: the outcome stays unknown.
      }
      throw unavailable(error);
    }
  }

  /** Whether the entry with this number is this one: the response to the insert may have been lost. */
  async #isOwn({ _id, token }: Entry): Promise<boolean> {
    const found = await this.#entries.findOne({ _id }, { projection: { token: 1 } });
    return found?.token === token;
  }

  /** Sends heartbeats in the meantime, so that a slow server does not get the same work from all processes. */
  async #applyAlive(entry: Entry): Promise<void> {
    let beat = 0;
    let beating: Promise<unknown> | undefined;
    const timer = setInterval(() => {
      beat += 1;
      beating ??= this.#entries
        .updateOne({ _id: entry._id }, { $set: { beat } })
        .catch(() => undefined)
        .finally(() => (beating = undefined));
    }, grace / 4);
    try {
      await this.#applyPatiently(entry);
    } finally {
      clearInterval(timer);
      // On an engine that reads and writes separately, it must not undo the mark that follows.
      await beating;
    }
  }

  async #applyPatiently(entry: Entry): Promise<void> {
    const end = Date.now() + timeoutMs;
    for (let pause = 50; ; pause = Math.min(pause * 2, 1000)) {
      try {
        await this.#apply(entry);
        return;
      } catch (error) {
        if (!isAway(error)) throw error;
        this.#seenAt = longAgo;
        if (Date.now() > end) throw unavailable(error);
        await sleep(pause);
      }
    }
  }

  /**
   * Applies every step, in order within its collection. May be done any number of times, by any number of processes.
   */
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
    // A session runs one operation at a time.
    for (const [name, steps] of byCollection) await takeStepsIn(session, this.#of(name), steps);
    if (changes.length > 0) await log.insertMany(changes, { session });
  }

  #of(name: string): Collection<StoredDocument> {
    return this.#db.collection<StoredDocument>(name);
  }

  /** Marks the entry as applied at once, since other processes wait for that, and drops its content. */
  #mark(number: number): void {
    this.#unmarked.push(number);
    this.#marking ??= this.#markAll().finally(() => (this.#marking = undefined));
  }

  /**
   * Marks made together share a command. An entry that cannot be marked is recognised as applied by the next one, or by
   * other processes.
   */
  async #markAll(): Promise<void> {
    while (this.#unmarked.length > 0) {
      const updates = this.#unmarked
        .splice(0)
        .map((number) => ({ updateOne: { filter: { _id: entryId(number) }, update: stripped } }));
      await this.#entries.bulkWrite(updates, { ordered: false }).catch(() => undefined);
      await sleep(markPause, undefined, { ref: false });
    }
  }

  /** Applies what a dead process left. */
  async sweep(): Promise<void> {
    await this.head();
  }

  /**
   * Drops content that dead processes left in applied entries, and entries that are no longer needed: the oldest, up to
   * the first one that is recent or among the last.
   */
  async trim(): Promise<void> {
    const { number } = await this.head();
    const span = { $gte: entryId(this.#stripped), $lt: entryId(number) };
    await this.#entries.updateMany({ _id: span, applied: false }, stripped);
    this.#stripped = number;
    const end = entryId(Math.max(0, number - alwaysKept));
    const kept = { _id: { $lt: end }, time: { $gte: this.clock.now() - retention } };
    const young = await this.#entries.find(kept, { projection: bare }).sort({ _id: 1 }).limit(1).next();
    await this.#entries.deleteMany({ _id: { $lt: young?._id ?? end } });
  }

  async close(): Promise<void> {
    await this.#applying;
    await this.#marking;
  }
}

/** An entry without its content. */
const bare = { steps: 0, changes: 0 } as const;

const stripped = { $set: { applied: true }, $unset: { steps: 1, changes: 1 } } as const;
