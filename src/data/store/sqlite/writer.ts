/** Applies writes to the tables, their sets and the change log. To be called within a transaction. */
import Database from 'better-sqlite3';
import { assertUnicode, type CollectionSpec, type Scalar, StoreConflict, type Write } from '../port.js';
import type { ChangeLog } from './change-log.js';
import type { Statements } from './statements.js';
import { plainColumns, quoted, setColumns, setTable } from './tables.js';

type AnyCollection = CollectionSpec<never>;

type Put = Extract<Write, { value: unknown }>;

/** The statements of a collection, built once. */
interface Sql {
  plain: string[];
  sets: string[];
  insert: string;
  columns: string;
  remove: string;
}

export class Writer {
  readonly #statements: Statements;
  readonly #log: ChangeLog;
  readonly #sql = new Map<AnyCollection, Sql>();
  readonly #uniqueKeys = new Map<string, { collection: string; key: string }>();

  constructor(statements: Statements, log: ChangeLog, collections: readonly AnyCollection[]) {
    this.#statements = statements;
    this.#log = log;
    for (const collection of collections) this.#rememberUniqueKeys(collection);
  }

  #rememberUniqueKeys({ name, unique }: AnyCollection): void {
    // SQLite names the columns of a violated key, not the index.
    for (const [key, fields] of Object.entries({ ...unique, id: ['id'] })) {
      const columns = fields.map((field) => `${name}.${field}`).join(', ');
      this.#uniqueKeys.set(`UNIQUE constraint failed: ${columns}`, { collection: name, key });
    }
  }

  /** Throws StoreConflict. */
  apply(write: Write): void {
    try {
      if (write.op === 'check') this.#check(write);
      else if (write.op === 'remove') this.#remove(write);
      else this.#put(write);
    } catch (error) {
      throw this.#conflictOf(error, write);
    }
  }

  #check({ collection, id, revision }: Write & { op: 'check' }): void {
    const sql = `SELECT 1 FROM ${quoted(collection.name)} WHERE "id" = ? AND "revision" = ?`;
    if (this.#statements.get(sql).get(id, revision) === undefined)
      throw new StoreConflict('revision', collection.name, id);
  }

  #remove({ collection, id, revision, quiet }: Write & { op: 'remove' }): void {
    const { remove, sets } = this.#sqlOf(collection);
    const removed = this.#statements.get(remove).get(id, revision) as { scope: string | null } | undefined;
    if (removed === undefined) throw new StoreConflict('revision', collection.name, id);
    for (const name of sets) this.#replaceSet(collection, id, name, []);
    if (collection.loggedBy !== undefined && quiet !== true)
      this.#log.append(collection, id, { op: 'remove', revision, scope: removed.scope, text: null });
  }

  #put(write: Put): void {
    const { collection, id, op } = write;
    const sql = this.#sqlOf(collection);
    const columns = collection.columnsOf(id, write.value as never);
    assertUnicode(id, ...Object.values(columns).flat());
    const plain = sql.plain.map((name) => (columns[name] ?? null) as Scalar);
    const text =
      collection.present === undefined ? null : JSON.stringify(collection.present(id, write.value as never));
    const value = JSON.stringify(write.value);
    if (op === 'insert') {
      this.#statements.get(sql.insert).run(id, write.revision ?? 1, value, text, ...plain);
    } else {
      const step = write.keepRevision === true ? 0 : 1;
      const changed = this.#changed(sql, write, plain);
      const values = changed.map((index) => plain[index] ?? null);
      this.#statements.get(replaceSql(collection, sql, changed)).run(step, value, text, ...values, id);
    }
    for (const name of sql.sets) {
      const items = (columns[name] ?? []) as string[];
      if (op === 'insert') this.#addToSet(collection, id, name, new Set(items));
      else this.#replaceSet(collection, id, name, items);
    }
    if (collection.loggedBy === undefined || write.quiet === true) return;
    const scope = (columns[collection.loggedBy] ?? null) as string | null;
    const revision =
      op === 'insert' ? (write.revision ?? 1) : write.revision + (write.keepRevision === true ? 0 : 1);
    const loggedAs = write.op === 'replace' ? write.loggedAs : undefined;
    this.#log.append(collection, id, { op: loggedAs ?? op, revision, scope, text });
  }

  /**
   * The columns, by index, in which the stored document differs. SQLite writes the entry of every index of which a
   * column is named, changed or not, and most changes of a document concern none. Throws StoreConflict.
   */
  #changed(sql: Sql, { collection, id, revision }: Write & { op: 'replace' }, plain: Scalar[]): number[] {
    const stored = this.#statements.get(sql.columns).raw().get(id, revision) as Scalar[] | undefined;
    if (stored === undefined) throw new StoreConflict('revision', collection.name, id);
    return [...plain.keys()].filter((index) => stored[index] !== plain[index]);
  }

  #sqlOf(collection: AnyCollection): Sql {
    const known = this.#sql.get(collection);
    if (known !== undefined) return known;
    const table = quoted(collection.name);
    const plain = plainColumns(collection);
    const columns = plain.map(quoted);
    const fields = ['"id"', '"revision"', '"value"', '"public"', ...columns];
    const marks = ['?', '?', '?', '?', ...columns.map(() => '?')];
    const scope = collection.loggedBy === undefined ? 'NULL' : quoted(collection.loggedBy);
    const sql = {
      plain,
      sets: setColumns(collection),
      insert: `INSERT INTO ${table} (${fields.join(', ')}) VALUES (${marks.join(', ')})`,
      columns: `SELECT ${columns.length === 0 ? 'NULL' : columns.join(', ')} FROM ${table} WHERE "id" = ? AND "revision" = ?`,
      remove: `DELETE FROM ${table} WHERE "id" = ? AND "revision" = ? RETURNING ${scope} AS "scope"`,
    };
    this.#sql.set(collection, sql);
    return sql;
  }

  /** Only differences are written: a replace rarely changes a set. */
  #replaceSet(collection: AnyCollection, id: string, name: string, items: readonly string[]): void {
    const table = setTable(collection.name, name);
    const missing = new Set(items);
    const found = this.#statements.get(`SELECT "item" FROM ${table} WHERE "id" = ?`).all(id);
    for (const { item } of found as { item: string }[]) {
      if (missing.delete(item)) continue;
      this.#statements.get(`DELETE FROM ${table} WHERE "item" = ? AND "id" = ?`).run(item, id);
    }
    this.#addToSet(collection, id, name, missing);
  }

  #addToSet(collection: AnyCollection, id: string, name: string, items: ReadonlySet<string>): void {
    for (const item of items) {
      const table = setTable(collection.name, name);
      this.#statements.get(`INSERT INTO ${table} ("item", "id") VALUES (?, ?)`).run(item, id);
    }
  }

  #conflictOf(error: unknown, write: Write): unknown {
    if (!(error instanceof Database.SqliteError) || !error.code.startsWith('SQLITE_CONSTRAINT')) return error;
    const known = this.#uniqueKeys.get(error.message);
    if (known === undefined || write.op === 'remove' || write.op === 'check') return error;
    return new StoreConflict('unique', known.collection, this.#firstTaken(write) ?? known.key);
  }

  /** SQLite may name any of several taken keys; the port requires the first. */
  #firstTaken({ collection, id, op, value }: Put): string | undefined {
    const table = quoted(collection.name);
    const found = (where: string, values: Scalar[]) =>
      this.#statements.get(`SELECT 1 FROM ${table} WHERE ${where}`).get(...values) !== undefined;
    if (op === 'insert' && found('"id" = ?', [id])) return 'id';
    const columns = collection.columnsOf(id, value as never);
    return Object.entries(collection.unique ?? {}).find(([, fields]) => {
      const where = [...fields.map((field) => `${quoted(field)} = ?`), '"id" <> ?'];
      return found(where.join(' AND '), [...fields.map((field) => (columns[field] ?? null) as Scalar), id]);
    })?.[0];
  }
}

function replaceSql({ name }: AnyCollection, { plain }: Sql, changed: readonly number[]): string {
  const columns = changed.map((index) => quoted(plain[index] ?? ''));
  const assignments = ['"value"', '"public"', ...columns].map((column) => `${column} = ?`);
  return `UPDATE ${quoted(name)} SET "revision" = "revision" + ?, ${assignments.join(', ')} WHERE "id" = ?`;
}
