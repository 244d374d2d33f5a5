/**
 * The embedded store: one SQLite file, or `:memory:` as the test double.
 *
 * Statements run synchronously inside async methods: better-sqlite3 is faster that way than through a thread, and a
 * page of 100 takes less than 0.1 ms. Every batch is one transaction with synchronous=FULL, so that an acknowledged
 * write survives even a power loss.
 */
import type Database from 'better-sqlite3';
import { type Log, silentLog } from '../../../model/log.js';
import type { Interruption } from '../../../model/interruption.js';
import {
  type ChangePage,
  type ChangeQuery,
  type CollectionSpec,
  type CountQuery,
  type Document,
  type PageQuery,
  type Scalar,
  type Store,
  type StoredText,
  type TextPage,
  type TextQuery,
  valueOf,
  type Write,
  type WriteListener,
} from '../port.js';
import { ChangeLog } from './change-log.js';
import { isBusy, storeFailure, unusable } from './failure.js';
import { open } from './file.js';
import { GroupCommit } from './group-commit.js';
import { layOut } from './layout.js';
import { setMark } from './marks.js';
import { Place } from './place.js';
import { Space } from './space.js';
import { Statements } from './statements.js';
import { countSql, edgeSql, pageSql, quoted, textSql } from './tables.js';
import { Writer } from './writer.js';

type AnyCollection = CollectionSpec<never>;

/**
 * Milliseconds for which the whole process may block on a lock of another process. Writes wait far longer for it, but
 * without blocking the event loop (group-commit.ts); at startup and shutdown there is nothing to delay.
 */
const shortWait = 25;
const lastWait = 5000;

export interface SqliteOptions {
  /**
   * Maximum size in bytes of an unclosed file that gets the full check with its indexes instead of the quick one; by
   * default any.
   */
  checkLimit?: number;
  /** Milliseconds that a write waits for another process. Default: 5,000. */
  lockWait?: number;
  /** Logs checks that take time, and failing listeners. */
  log?: Log;
  /** Told of each failure that callers get, before they do. */
  failed?: (error: unknown) => void;
}

export class SqliteStore implements Store {
  readonly #statements: Statements;
  readonly #commits: GroupCommit;
  readonly #log: ChangeLog;
  readonly #writer: Writer;
  readonly #space: Space;
  readonly #unmark: () => void;
  readonly #place: Place | undefined;
  readonly #failed: ((error: unknown) => void) | undefined;
  #epoch: number | undefined;
  readonly #dataVersion: Database.Statement<[]>;
  readonly #listeners = new Set<WriteListener>();

  constructor(file: string, collections: readonly AnyCollection[], options: SqliteOptions = {}) {
    const log = options.log ?? silentLog;
    const { db, left } = open(file, log, options.checkLimit ?? Infinity);
    this.#failed = options.failed;
    this.#statements = new Statements(db);
    this.#commits = new GroupCommit(this.#statements, log, {
      ...(options.lockWait === undefined ? {} : { timeoutMs: options.lockWait }),
      check: () => this.#place?.check(),
      failureFor: this.#failureFor,
    });
    this.#log = new ChangeLog(this.#statements);
    this.#writer = new Writer(this.#statements, this.#log, collections);
    this.#dataVersion = db.prepare<[]>('PRAGMA data_version').pluck(true);
    this.#space = new Space(db);
    try {
      this.#unmark = this.#statements.transaction(() => {
        layOut(db, collections);
        return db.memory ? () => undefined : setMark(db, left);
      });
    } catch (error) {
      db.close();
      throw error;
    }
    // Now that the first commit has created the log.
    this.#place = db.memory ? undefined : new Place(file);
    db.pragma(`busy_timeout = ${shortWait}`);
  }

  get<T>(collection: CollectionSpec<T>, id: string, signal?: Interruption): Promise<Document<T> | undefined> {
    return this.#attempt(() => this.#get(collection, id), signal);
  }

  #get<T>(collection: CollectionSpec<T>, id: string): Document<T> | undefined {
    const row = this.#statements
      .get(`SELECT "revision", "value" FROM ${quoted(collection.name)} WHERE "id" = ?`)
      .get(id);
    return row === undefined ? undefined : documentOf<T>({ ...(row as Omit<Row, 'id'>), id });
  }

  text(
    collection: AnyCollection,
    id: string,
    column: string,
    signal?: Interruption,
  ): Promise<StoredText | undefined> {
    return this.#attempt(() => {
      const sql = `SELECT "public" AS "text", "revision", ${quoted(column)} AS "column" FROM ${quoted(collection.name)} WHERE "id" = ?`;
      return this.#statements.get(sql).get(id) as StoredText | undefined;
    }, signal);
  }

  find<T>(
    collection: CollectionSpec<T>,
    key: string,
    values: readonly Scalar[],
    signal?: Interruption,
  ): Promise<Document<T> | undefined> {
    return this.#attempt(() => {
      const fields = collection.unique?.[key];
      if (fields === undefined) throw new Error(`${collection.name} declares no unique key "${key}"`);
      const where = fields.map((field) => `${quoted(field)} = ?`).join(' AND ');
      const sql = `SELECT "id", "revision", "value" FROM ${quoted(collection.name)} WHERE ${where}`;
      const row = this.#statements.get(sql).get(...values) as Row | undefined;
      return row === undefined ? undefined : documentOf<T>(row);
    }, signal);
  }

  page<T>(collection: CollectionSpec<T>, query: PageQuery, signal?: Interruption): Promise<Document<T>[]> {
    return this.#attempt(() => {
      const { sql, values } = pageSql(collection, query, ['id', 'revision', 'value']);
      return (this.#statements.get(sql).all(...values) as Row[]).map((row) => documentOf<T>(row));
    }, signal);
  }

  pageTexts(collection: AnyCollection, query: TextQuery, signal?: Interruption): Promise<TextPage> {
    return this.#attempt(() => this.#readTexts(collection, query), signal);
  }

  #readTexts(collection: AnyCollection, query: TextQuery): TextPage {
    const text = textSql(collection, query);
    const edge = edgeSql(collection, query);
    // One snapshot for both, or a row that another process adds in between would fall between two pages.
    return this.#statements.nested(() => {
      const body = this.#statements
        .get(text.sql)
        .pluck(true)
        .get(...text.values) as Buffer;
      const [last, next] = this.#statements
        .get(edge.sql)
        .raw(true)
        .all(...edge.values) as Scalar[][];
      return { body, more: next !== undefined, ...(last === undefined ? {} : { last }) };
    });
  }

  count(collection: AnyCollection, query: CountQuery, signal?: Interruption): Promise<number> {
    return this.#attempt(() => {
      const { sql, values } = countSql(collection, query);
      return (this.#statements.get(sql).get(...values) as { count: number }).count;
    }, signal);
  }

  async write(writes: readonly Write[], signal?: Interruption): Promise<void> {
    await this.#commit(
      () => {
        for (const write of writes) this.#writer.apply(write);
      },
      () =>
        writes
          .filter(({ op }) => op !== 'check')
          .map((write) => [write.collection.name, write.id, valueOf(write)]),
      signal,
    );
  }

  claim<T>(
    collection: CollectionSpec<T>,
    query: PageQuery,
    change: (document: Document<T>) => T,
  ): Promise<Document<T>[]> {
    return this.#commit(
      () => {
        const { sql, values } = pageSql(collection, query, ['id', 'revision', 'value']);
        return (this.#statements.get(sql).all(...values) as Row[]).map((row) => {
          const value = change(documentOf<T>(row));
          this.#writer.apply({ op: 'replace', collection, id: row.id, revision: row.revision, value });
          return { id: row.id, revision: row.revision + 1, value };
        });
      },
      (claimed) => claimed.map(({ id, value }) => [collection.name, id, value]),
    );
  }

  /**
   * Listeners are notified before anything else runs, so that no cache is read between the commit and its notification.
   */
  #commit<R>(
    work: () => R,
    written: (result: R) => Parameters<WriteListener>[],
    signal?: Interruption,
  ): Promise<R> {
    const tell = (result: R) =>
      written(result).flatMap((news) => [...this.#listeners].map((listener) => () => listener(...news)));
    return this.#commits.run(work, tell, signal);
  }

  changes(query: ChangeQuery, signal?: Interruption): Promise<ChangePage> {
    return this.#attempt(() => this.#statements.nested(() => this.#log.read(query)), signal);
  }

  changeRange(): Promise<{ first: number; last: number }> {
    return this.#attempt(() => this.#statements.nested(() => this.#log.range()));
  }

  lastChange(): Promise<{ position: number; others: number }> {
    return this.#attempt(() => {
      this.#place?.check();
      const position = this.#statements.nested(() => this.#log.last());
      return { position, others: this.epoch() };
    });
  }

  trimChanges(before: string): Promise<number> {
    return this.#commit(
      () => this.#log.trim(before),
      () => [],
    );
  }

  watch(listener: WriteListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  epoch(): number {
    // Counts commits of other connections only; our own are announced by `watch`. Read once per turn of the event loop:
    // requests served in one turn are simultaneous to any other process.
    this.#epoch ??= this.#askEpoch();
    return this.#epoch;
  }

  #askEpoch(): number {
    setImmediate(() => (this.#epoch = undefined));
    try {
      return this.#dataVersion.get() as number;
    } catch (error) {
      throw this.#failureFor(error);
    }
  }

  /** Runs synchronous work so that a failure becomes a rejection, as with an engine behind a network. */
  #attempt<R>(work: () => R, signal?: Interruption): Promise<R> {
    return new Promise((resolve) => {
      signal?.throwIfAborted();
      try {
        resolve(work());
      } catch (error) {
        throw this.#failureFor(error);
      }
    });
  }

  readonly #failureFor = (error: unknown): unknown => {
    const { open } = this.#statements.db;
    const failure = open ? storeFailure(error) : unusable('it is closed', error);
    this.#failed?.(failure);
    return failure;
  };

  tidy(): Promise<void> {
    return this.#attempt(() => {
      try {
        this.#space.tidy();
      } catch (error) {
        // It can be done another time.
        if (!isBusy(error)) throw error;
      }
    });
  }

  close(): Promise<void> {
    return this.#attempt(() => {
      this.#statements.db.pragma(`busy_timeout = ${lastWait}`);
      this.#commits.flush(true);
      try {
        this.#unmark();
      } catch {
        // For example a full disk. The mark stays, and the next start checks the file.
      } finally {
        this.#statements.close();
      }
    });
  }
}

interface Row {
  id: string;
  revision: number;
  value: string;
}

function documentOf<T>(row: Row): Document<T> {
  return { id: row.id, revision: row.revision, value: JSON.parse(row.value) as T };
}
