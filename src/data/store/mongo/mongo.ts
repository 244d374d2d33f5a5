/**
 * The store for several processes: a MongoDB server, or one that speaks its protocol.
 *
 * Every batch goes through the journal (journal.ts), in a transaction where the server has them. docs/store-mongodb.md
 * has the guarantees with and without.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Collection, Db, MongoClient } from 'mongodb';
import type { Interruption } from '../../../model/interruption.js';
import { KeyedMutex } from '../../../platform/keyed-mutex.js';
import {
  type ChangePage,
  type ChangeQuery,
  type CollectionSpec,
  type CountQuery,
  type Document,
  type PageQuery,
  type ReadDocument,
  type Scalar,
  type Store,
  StoreConflict,
  type StoredText,
  type TextPage,
  type TextQuery,
  valueOf,
  type Write,
  type WriteListener,
} from '../port.js';
import { ChangeLog } from './change-log.js';
import { Clock } from './clock.js';
import { GroupCommit } from './group-commit.js';
import { connect, unreachable } from './connection.js';
import {
  type AnyCollection,
  columnField,
  documentOf,
  entryOf,
  keyField,
  keyText,
  type StoredDocument,
} from './documents.js';
import { failureFor, isAway } from './failure.js';
import { makeIndexes } from './indexes.js';
import { Journal } from './journal.js';
import { prepare } from './plan.js';
import { countedBy, orderColumns, pageOf } from './queries.js';
import { singleFlight } from './single-flight.js';
import { Sweeper } from './sweeper.js';
import { probeTransactions } from './transaction.js';

export interface MongoOptions {
  /** `never` uses the journal without transactions on any server. */
  transactions?: 'where-possible' | 'never';
  /** Reads what it needs before anything is changed. If it rejects, the store is not opened. */
  admit?: (read: ReadDocument) => Promise<void>;
  /** The wall clock; for tests. */
  clock?: () => number;
  /** Called with each failure before callers get it. */
  failed?: (error: unknown) => void;
}

/** Milliseconds that closing waits for operations in progress. */
const closingTime = 10_000;
/** Milliseconds without any operation after which none is expected. */
const closingPause = 25;

/** Number of reads of a page that meet a partly applied batch before the page is returned as it is. */
const pageTries = 5;

export class MongoStore implements Store {
  readonly #client: MongoClient;
  readonly #db: Db;
  readonly #journal: Journal;
  readonly #commits: GroupCommit;
  readonly #log: ChangeLog;
  readonly #sweeper: Sweeper;
  readonly #failed: (error: unknown) => void;
  readonly #claims = new KeyedMutex();
  readonly #shared = singleFlight();
  /** Operations in progress, for closing to wait for. */
  readonly #running = new Set<Promise<unknown>>();
  readonly #listeners = new Set<WriteListener>();
  #epoch = 0;
  #epochEnds = false;

  private constructor(
    client: MongoClient,
    db: Db,
    journal: Journal,
    collections: readonly AnyCollection[],
    failed: (error: unknown) => void,
  ) {
    this.#failed = failed;
    this.#client = client;
    this.#db = db;
    this.#journal = journal;
    this.#commits = new GroupCommit(db, journal);
    this.#log = new ChangeLog(db);
    this.#sweeper = new Sweeper(db, journal, this.#commits, collections);
  }

  /** Connects, creates indexes and completes what a dead process left. Rejects with StoreUnreachable. */
  static async open(
    address: string,
    collections: readonly AnyCollection[],
    { transactions = 'where-possible', admit, clock, failed = () => undefined }: MongoOptions = {},
  ): Promise<MongoStore> {
    const { client, database } = await connect(address);
    try {
      const db = client.db(database);
      await admit?.(async <T>({ name }: CollectionSpec<T>, id: string) => {
        const found = await db.collection<StoredDocument>(name).findOne({ _id: id, revision: { $gte: 1 } });
        return found === null ? undefined : documentOf<T>(found);
      });
      await makeIndexes(db, collections);
      const runner = transactions === 'never' ? undefined : await probeTransactions(client, db);
      const journal = new Journal(db, runner, new Clock(clock));
      const store = new MongoStore(client, db, journal, collections, failed);
      await journal.head();
      store.#sweeper.start();
      return store;
    } catch (error) {
      await client.close().catch(() => undefined);
      throw isAway(error) ? unreachable(address, error) : error;
    }
  }

  /** Whether batches are transactions of the server. */
  get transactional(): boolean {
    return this.#journal.transactional;
  }

  get<T>(collection: CollectionSpec<T>, id: string, signal?: Interruption): Promise<Document<T> | undefined> {
    return this.#attempt(async () => {
      const found = await this.#one(collection, id, { public: 0 });
      return found === undefined ? undefined : documentOf<T>(found);
    }, signal);
  }

  text(
    collection: AnyCollection,
    id: string,
    column: string,
    signal?: Interruption,
  ): Promise<StoredText | undefined> {
    return this.#attempt(async () => {
      const field = columnField(column);
      const found = await this.#one(collection, id, { revision: 1, stamp: 1, public: 1, [field]: 1 });
      if (found === undefined) return undefined;
      return {
        text: found.public ?? '',
        revision: found.revision,
        column: (found[field] ?? null) as Scalar,
      };
    }, signal);
  }

  /** The document, unless it is absent or only its tombstone is left. The next read then sees its whole batch. */
  async #one(
    collection: AnyCollection,
    id: string,
    projection: Record<string, 0 | 1>,
  ): Promise<StoredDocument | undefined> {
    const name = `${collection.name}\u0000${Object.keys(projection).join()}\u0000${id}`;
    const read = () => this.#shared(name, () => this.#of(collection).findOne({ _id: id }, { projection }));
    const underWay = this.#journal.underWay();
    let found = await read();
    if (found === null && underWay !== undefined) {
      await underWay;
      found = await read();
    }
    if (found === null) return undefined;
    // Its removal is part of a batch too.
    await this.#journal.settled(entryOf(found.stamp));
    return found.revision === 0 ? undefined : found;
  }

  find<T>(
    collection: CollectionSpec<T>,
    key: string,
    values: readonly Scalar[],
    signal?: Interruption,
  ): Promise<Document<T> | undefined> {
    return this.#attempt(async () => {
      const columns = collection.unique?.[key];
      if (columns?.length !== values.length)
        throw new Error(`${collection.name} declares no unique key "${key}" of ${values.length} columns`);
      if (values.includes(null)) return undefined;
      const filter = { [keyField(key)]: { $eq: keyText(values, '') } };
      const found = await this.#of(collection).findOne(filter, { projection: { public: 0 } });
      if (found === null) return undefined;
      await this.#journal.settled(entryOf(found.stamp));
      return documentOf<T>(found);
    }, signal);
  }

  page<T>(collection: CollectionSpec<T>, query: PageQuery, signal?: Interruption): Promise<Document<T>[]> {
    return this.#attempt(async () => {
      const rows = await this.#rows(collection, query, query.limit, { public: 0 });
      return rows.map((row) => documentOf<T>(row));
    }, signal);
  }

  pageTexts(collection: AnyCollection, query: TextQuery, signal?: Interruption): Promise<TextPage> {
    return this.#attempt(async () => {
      const columns = orderColumns(collection, query.order).map(columnField);
      const projection: Record<string, 0 | 1> = { stamp: 1, public: 1 };
      for (const column of columns) projection[column] = 1;
      const rows = await this.#rows(collection, query, query.limit + 1, projection);
      const shown = rows.slice(0, query.limit);
      const last = shown.length === query.limit ? shown.at(-1) : undefined;
      const texts = shown.flatMap((row) => row.public ?? []);
      if (query.reversed === true) texts.reverse();
      return {
        body: Buffer.from(`[${texts.join(',')}]`),
        more: rows.length > query.limit,
        ...(last === undefined
          ? {}
          : { last: [...columns.map((column) => (last[column] ?? null) as Scalar), last._id] }),
      };
    }, signal);
  }

  /** The rows, read again if they belong to a batch that was only partly applied. */
  async #rows(
    collection: AnyCollection,
    query: PageQuery,
    limit: number,
    projection: Record<string, 0 | 1>,
  ): Promise<StoredDocument[]> {
    const { filter, sort } = pageOf(collection, query);
    if (limit <= 0) return [];
    for (let tried = 1; ; tried += 1) {
      const rows = await this.#of(collection)
        .find(filter, { sort, limit, projection, batchSize: limit + 1 })
        .toArray();
      const latest = rows.reduce((most, { stamp }) => Math.max(most, entryOf(stamp)), 0);
      if (this.#journal.isSettled(latest) || tried === pageTries) return rows;
      await this.#journal.settled(latest);
    }
  }

  count(collection: AnyCollection, query: CountQuery, signal?: Interruption): Promise<number> {
    const limit = query.atMost === undefined ? {} : { limit: query.atMost };
    const counting = () => this.#of(collection).countDocuments(countedBy(collection, query), limit);
    return this.#attempt(counting, signal);
  }

  async write(writes: readonly Write[], signal?: Interruption): Promise<void> {
    signal?.throwIfAborted();
    if (writes.length === 0) return;
    const prepared = writes.map(prepare);
    const size = prepared.reduce((sum, { fields }) => sum + sizeOf(fields), 0);
    const tell = () => {
      for (const write of writes) {
        if (write.op === 'check') continue;
        for (const listener of this.#listeners) listener(write.collection.name, write.id, valueOf(write));
      }
    };
    await this.#during(this.#commits.submit({ writes: prepared, signal, size }, tell).catch(this.#rethrow));
  }

  /** One claim of a collection at a time in this process: concurrent ones would compete for the same documents. */
  claim<T>(
    collection: CollectionSpec<T>,
    query: PageQuery,
    change: (document: Document<T>) => T,
  ): Promise<Document<T>[]> {
    const claiming = this.#claims.run(collection.name, async () => {
      const won: Document<T>[] = [];
      for (;;) {
        const wanted = query.limit - won.length;
        // Claimed documents may still match, and be anywhere in the page.
        const page = await this.page(collection, query);
        const found = page.filter(({ id }) => !won.some((one) => one.id === id)).slice(0, wanted);
        const values = found.map(change);
        // Separate batches that share a commit: each can lose by itself.
        const outcomes = await Promise.allSettled(
          found.map(({ id, revision }, at) =>
            this.write([{ op: 'replace', collection, id, revision, value: values[at] }]),
          ),
        );
        for (const [at, { id, revision }] of found.entries()) {
          if (outcomes[at]?.status === 'fulfilled')
            won.push({ id, revision: revision + 1, value: values[at] as T });
        }
        const failures = outcomes.flatMap((one) =>
          one.status === 'rejected' ? [one.reason as unknown] : [],
        );
        // Another process was faster; the next read finds the next documents.
        const grave = failures.filter(
          (error) => !(error instanceof StoreConflict && error.kind === 'revision'),
        );
        if (grave.length > 0 && won.length === 0) throw grave[0];
        // Claimed documents belong to the caller, whatever happened to the rest.
        if (grave.length > 0 || won.length === query.limit) return won;
        if (failures.length === 0 && found.length < wanted) return won;
      }
    });
    return this.#during(claiming);
  }

  changes(query: ChangeQuery, signal?: Interruption): Promise<ChangePage> {
    return this.#attempt(async () => this.#log.read(query, await this.#journal.head()), signal);
  }

  changeRange(): Promise<{ first: number; last: number }> {
    return this.#attempt(async () => this.#log.range(await this.#journal.head()));
  }

  lastChange(): Promise<{ position: number; others: number }> {
    return this.#attempt(async () => {
      const { last } = await this.#journal.head();
      return { position: last, others: this.#journal.others };
    });
  }

  trimChanges(before: string): Promise<number> {
    return this.#attempt(async () => this.#log.trim(before, await this.#journal.head()));
  }

  watch(listener: WriteListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Another process may have written at any time, so reads are trusted only within their turn of the event loop. */
  epoch(): number {
    if (!this.#epochEnds) {
      this.#epochEnds = true;
      setImmediate(() => {
        this.#epochEnds = false;
        this.#epoch += 1;
      });
    }
    return this.#epoch;
  }

  /** Waits for operations in progress, but not forever: the server may be unreachable. */
  async close(): Promise<void> {
    this.#sweeper.stop();
    const timeout = AbortSignal.timeout(closingTime);
    const over = aborted(timeout).catch(() => undefined);
    // Work with several operations has gaps between them; only a longer pause means that it is done.
    do {
      while (this.#running.size > 0 && !timeout.aborted)
        await Promise.race([Promise.allSettled(this.#running), over]);
      await sleep(closingPause);
    } while (this.#running.size > 0 && !timeout.aborted);
    await this.#commits.close();
    await this.#journal.close();
    await this.#client.close();
  }

  async #during<R>(work: Promise<R>): Promise<R> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }

  /** A read that the signal ends for its caller at once; a later response of the server is dropped. */
  async #attempt<R>(work: () => Promise<R>, signal?: Interruption): Promise<R> {
    signal?.throwIfAborted();
    const working = this.#during(work().catch(this.#rethrow));
    if (signal === undefined) return working;
    working.catch(() => undefined);
    const stop = new AbortController();
    try {
      return await Promise.race([working, aborted(signal, stop.signal)]);
    } finally {
      stop.abort();
    }
  }

  readonly #rethrow = (error: unknown): never => {
    const failure = failureFor(error);
    this.#failed(failure);
    throw failure;
  };

  #of(collection: AnyCollection): Collection<StoredDocument> {
    return this.#db.collection<StoredDocument>(collection.name);
  }
}

function sizeOf(fields: { value?: string; public?: string | null } | undefined): number {
  return 500 + Buffer.byteLength(fields?.value ?? '') + Buffer.byteLength(fields?.public ?? '');
}

/** Rejects with the signal's reason when it aborts; listens no longer than `until`. */
function aborted(signal: Interruption, until?: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a signal's reason is what it is
    const stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true, ...(until === undefined ? {} : { signal: until }) });
  });
}
