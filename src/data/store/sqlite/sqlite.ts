/**
 * The embedded store: one SQLite file, or `:memory:` as the test double.
 *
 * Statements run synchronously inside async methods: better-sqlite3 is faster that way than through a thread, and a
 * page of 100 takes less than 0.1 ms. Every batch is one transaction with synchronous=FULL, so that an acknowledged
 * write survives a loss of power too.
 */
import Database from 'better-sqlite3';
import type {
  CollectionSpec,
  Document,
  PageQuery,
  Query,
  Scalar,
  Store,
  TextPage,
  TextQuery,
  Write,
} from '../port.js';
import { StoreConflict } from '../port.js';
import {
  conditionsOf,
  edgeSql,
  pageSql,
  plainColumns,
  quoted,
  schemaOf,
  setColumns,
  setTable,
  textSql,
} from './tables.js';

type AnyCollection = CollectionSpec<never>;

/** Version of the table layout; a file with a higher one was written by a newer program. */
export const schemaVersion = 1;

/** Distinct statements kept prepared. Statement texts come from declarations, so their number is small. */
const statementLimit = 500;

export class SqliteStore implements Store {
  readonly #db: Database.Database;
  readonly #statements = new Map<string, Database.Statement<Scalar[]>>();
  #epoch: number | undefined;
  /** Runs statements on one snapshot. */
  readonly #reading: <R>(work: () => R) => R;
  readonly #dataVersion: Database.Statement<[]>;
  readonly #listeners = new Set<(collection: string, id: string) => void>();
  readonly #uniqueKeys = new Map<string, { collection: string; key: string }>();

  constructor(file: string, collections: readonly AnyCollection[]) {
    this.#db = new Database(file, { timeout: 5000 });
    this.#db.pragma('journal_mode = WAL');
    this.#db.pragma('synchronous = FULL');
    this.#db.pragma('foreign_keys = ON');
    const found = this.#db.pragma('user_version', { simple: true }) as number;
    if (found > schemaVersion) {
      this.#db.close();
      throw new Error(
        `The database ${file} has layout ${found}; this program knows ${schemaVersion}. Use the newer program that wrote it.`,
      );
    }
    this.#reading = this.#db.transaction((work: () => unknown) => work()) as <R>(work: () => R) => R;
    this.#dataVersion = this.#db.prepare<[]>('PRAGMA data_version').pluck(true);
    this.#transaction(() => {
      for (const collection of collections) {
        for (const statement of schemaOf(collection)) this.#db.exec(statement);
        this.#rememberUniqueKeys(collection);
      }
      this.#db.pragma(`user_version = ${schemaVersion}`);
    });
  }

  #rememberUniqueKeys(collection: AnyCollection): void {
    // SQLite names the columns of a broken key, not the index.
    for (const [key, fields] of Object.entries(collection.unique ?? {})) {
      const columns = fields.map((field) => `${collection.name}.${field}`).join(', ');
      this.#uniqueKeys.set(`UNIQUE constraint failed: ${columns}`, { collection: collection.name, key });
    }
    this.#uniqueKeys.set(`UNIQUE constraint failed: ${collection.name}.id`, {
      collection: collection.name,
      key: 'id',
    });
  }

  #statement(sql: string): Database.Statement<Scalar[]> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      if (this.#statements.size >= statementLimit) this.#statements.clear();
      statement = this.#db.prepare<Scalar[]>(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #transaction<R>(work: () => R): R {
    // "immediate" takes the write lock at the start, where busy_timeout still helps.
    return this.#db.transaction(work).immediate();
  }

  get<T>(collection: CollectionSpec<T>, id: string, signal?: AbortSignal): Promise<Document<T> | undefined> {
    return attempt(() => this.#get(collection, id), signal);
  }

  #get<T>(collection: CollectionSpec<T>, id: string): Document<T> | undefined {
    const row = this.#statement(
      `SELECT "revision", "value" FROM ${quoted(collection.name)} WHERE "id" = ?`,
    ).get(id);
    return row === undefined ? undefined : documentOf<T>({ ...(row as Omit<Row, 'id'>), id });
  }

  text(
    collection: AnyCollection,
    id: string,
    signal?: AbortSignal,
  ): Promise<{ text: string; revision: number } | undefined> {
    return attempt(() => {
      const sql = `SELECT "revision", "public" AS "text" FROM ${quoted(collection.name)} WHERE "id" = ?`;
      return this.#statement(sql).get(id) as { text: string; revision: number } | undefined;
    }, signal);
  }

  columns<N extends string>(
    collection: AnyCollection,
    id: string,
    names: readonly N[],
    signal?: AbortSignal,
  ): Promise<Record<N, Scalar> | undefined> {
    return attempt(() => {
      const sql = `SELECT ${names.map(quoted).join(', ')} FROM ${quoted(collection.name)} WHERE "id" = ?`;
      return this.#statement(sql).get(id) as Record<N, Scalar> | undefined;
    }, signal);
  }

  find<T>(
    collection: CollectionSpec<T>,
    key: string,
    values: readonly Scalar[],
    signal?: AbortSignal,
  ): Promise<Document<T> | undefined> {
    return attempt(() => {
      const fields = collection.unique?.[key];
      if (fields === undefined) throw new Error(`${collection.name} declares no unique key "${key}"`);
      const where = fields.map((field) => `${quoted(field)} = ?`).join(' AND ');
      const sql = `SELECT "id", "revision", "value" FROM ${quoted(collection.name)} WHERE ${where}`;
      const row = this.#statement(sql).get(...values) as Row | undefined;
      return row === undefined ? undefined : documentOf<T>(row);
    }, signal);
  }

  page<T>(collection: CollectionSpec<T>, query: PageQuery, signal?: AbortSignal): Promise<Document<T>[]> {
    return attempt(() => {
      const { sql, values } = pageSql(collection, query, ['id', 'revision', 'value']);
      return (this.#statement(sql).all(...values) as Row[]).map((row) => documentOf<T>(row));
    }, signal);
  }

  pageTexts(collection: AnyCollection, query: TextQuery, signal?: AbortSignal): Promise<TextPage> {
    return attempt(() => {
      const text = textSql(collection, query);
      const edge = edgeSql(collection, query);
      // One snapshot for both, or a row that another process adds meanwhile would fall between two pages.
      return this.#reading(() => {
        const body = this.#statement(text.sql)
          .pluck(true)
          .get(...text.values) as Buffer;
        const [last, next] = this.#statement(edge.sql)
          .raw(true)
          .all(...edge.values) as Scalar[][];
        return { body, more: next !== undefined, ...(last === undefined ? {} : { last }) };
      });
    }, signal);
  }

  count(collection: AnyCollection, query: Omit<Query, 'order'>, signal?: AbortSignal): Promise<number> {
    return attempt(() => {
      const { conditions, values } = conditionsOf(collection, query);
      const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
      const sql = `SELECT count(*) AS "count" FROM ${quoted(collection.name)}${where}`;
      return (this.#statement(sql).get(...values) as { count: number }).count;
    }, signal);
  }

  async write(writes: readonly Write[], signal?: AbortSignal): Promise<void> {
    await attempt(() => {
      try {
        this.#transaction(() => {
          for (const write of writes) this.#apply(write);
        });
      } catch (error) {
        throw this.#conflictOf(error);
      }
    }, signal);
    this.#announce(writes.map((write) => [write.collection.name, write.id]));
  }

  async claim<T>(
    collection: CollectionSpec<T>,
    query: Query,
    change: (document: Document<T>) => T,
  ): Promise<Document<T> | undefined> {
    const claimed = await attempt(() =>
      this.#transaction(() => {
        const { sql, values } = pageSql(collection, { ...query, limit: 1 }, ['id', 'revision', 'value']);
        const row = this.#statement(sql).get(...values) as Row | undefined;
        if (row === undefined) return undefined;
        const document = documentOf<T>(row);
        const value = change(document);
        this.#apply({ op: 'replace', collection, id: row.id, revision: row.revision, value });
        return { id: row.id, revision: row.revision + 1, value };
      }),
    );
    if (claimed !== undefined) this.#announce([[collection.name, claimed.id]]);
    return claimed;
  }

  watch(listener: (collection: string, id: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  epoch(): number {
    // Counts commits of other connections only; our own are announced by `watch`. Asked once in each turn of the event
    // loop: requests that are served in one turn are simultaneous to any other process.
    this.#epoch ??= this.#askEpoch();
    return this.#epoch;
  }

  #askEpoch(): number {
    setImmediate(() => (this.#epoch = undefined));
    return this.#dataVersion.get() as number;
  }

  close(): Promise<void> {
    return attempt(() => {
      this.#statements.clear();
      this.#db.close();
    });
  }

  #apply(write: Write): void {
    const { collection, id } = write;
    const table = quoted(collection.name);
    if (write.op === 'remove') {
      const removed = this.#statement(`DELETE FROM ${table} WHERE "id" = ? AND "revision" = ?`).run(
        id,
        write.revision,
      );
      if (removed.changes === 0) throw new StoreConflict('revision', collection.name, id);
      this.#writeSets(collection, id, {});
      return;
    }
    const columns = collection.columnsOf(id, write.value as never);
    assertUnicode(id, ...Object.values(columns).flat());
    const names = plainColumns(collection);
    const plain = names.map((name) => (columns[name] ?? null) as Scalar);
    const shown =
      collection.present === undefined ? null : JSON.stringify(collection.present(id, write.value as never));
    const value = JSON.stringify(write.value);
    if (write.op === 'insert') {
      const fields = ['id', 'revision', 'value', 'public', ...names];
      const sql = `INSERT INTO ${table} (${fields.map(quoted).join(', ')}) VALUES (${fields.map(() => '?').join(', ')})`;
      this.#statement(sql).run(id, 1, value, shown, ...plain);
    } else {
      const assignments = [
        '"revision" = "revision" + 1',
        '"value" = ?',
        '"public" = ?',
        ...names.map((n) => `${quoted(n)} = ?`),
      ];
      const sql = `UPDATE ${table} SET ${assignments.join(', ')} WHERE "id" = ? AND "revision" = ?`;
      const updated = this.#statement(sql).run(value, shown, ...plain, id, write.revision);
      if (updated.changes === 0) throw new StoreConflict('revision', collection.name, id);
    }
    this.#writeSets(collection, id, columns);
  }

  #writeSets(collection: AnyCollection, id: string, columns: Record<string, Scalar | string[]>): void {
    for (const name of setColumns(collection)) {
      const table = setTable(collection.name, name);
      const wanted = new Set((columns[name] ?? []) as string[]);
      const rows = this.#statement(`SELECT "item" FROM ${table} WHERE "id" = ?`).all(id) as {
        item: string;
      }[];
      const present = new Set(rows.map((row) => row.item));
      for (const item of present) {
        if (wanted.has(item)) continue;
        this.#statement(`DELETE FROM ${table} WHERE "item" = ? AND "id" = ?`).run(item, id);
      }
      for (const item of wanted) {
        if (present.has(item)) continue;
        this.#statement(`INSERT INTO ${table} ("item", "id") VALUES (?, ?)`).run(item, id);
      }
    }
  }

  #conflictOf(error: unknown): unknown {
    if (!(error instanceof Database.SqliteError) || !error.code.startsWith('SQLITE_CONSTRAINT')) return error;
    const known = this.#uniqueKeys.get(error.message);
    return known === undefined ? error : new StoreConflict('unique', known.collection, known.key);
  }

  #announce(changes: readonly (readonly [string, string])[]): void {
    for (const [collection, id] of changes) {
      for (const listener of this.#listeners) listener(collection, id);
    }
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

/** SQLite would store U+FFFD in place of half a surrogate pair, and two different texts would become one. */
function assertUnicode(...texts: readonly unknown[]): void {
  for (const text of texts) {
    if (typeof text === 'string' && /\p{Surrogate}/u.test(text))
      throw new Error('A key or column is no Unicode text');
  }
}

/** Runs synchronous work so that its failure is a rejection, as with an engine behind a network. */
function attempt<R>(work: () => R, signal?: AbortSignal): Promise<R> {
  return new Promise((resolve) => {
    signal?.throwIfAborted();
    resolve(work());
  });
}
