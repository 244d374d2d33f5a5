/** Brings a file to the layout that the collections declare: additions are created, unused indexes dropped. */
import type { Database } from 'better-sqlite3';
import { type CollectionSpec, indexesOf } from '../port.js';
import { changeLogSchema } from './change-log.js';
import { markSchema } from './marks.js';
import { plainColumns, quoted, setColumns, setTable } from './tables.js';

type AnyCollection = CollectionSpec<never>;

/**
 * Version of the layout, the same as that of the newest migration: an older version of Copse refuses a file with a
 * higher one before it touches anything.
 */
export const schemaVersion = 4;

function columnSql(collection: AnyCollection, name: string): string {
  return `${quoted(name)} ${collection.columns[name] === 'integer' ? 'INTEGER' : 'TEXT'}`;
}

/** The statements that create missing tables. */
export function tablesOf(collection: AnyCollection): string[] {
  const columns = plainColumns(collection).map((name) => columnSql(collection, name));
  const fields = ['"id" TEXT PRIMARY KEY', '"revision" INTEGER NOT NULL', ...columns];
  const texts = ['"value" TEXT NOT NULL', '"public" TEXT'];
  return [
    `CREATE TABLE IF NOT EXISTS ${quoted(collection.name)} (${[...fields, ...texts].join(', ')}) STRICT`,
    ...setColumns(collection).map(
      (name) =>
        `CREATE TABLE IF NOT EXISTS ${setTable(collection.name, name)} ("item" TEXT NOT NULL, "id" TEXT NOT NULL, ` +
        'PRIMARY KEY ("item", "id")) STRICT, WITHOUT ROWID',
    ),
  ];
}

/** The statements that create the indexes, by name, in the form in which SQLite stores them, for comparison. */
function indexSql(collection: AnyCollection): Map<string, string> {
  const { name: collectionName, unique, sparse = [] } = collection;
  const table = quoted(collectionName);
  const made = new Map<string, string>();
  const add = (name: string, kind: string, on: string, fields: readonly string[], where = '') =>
    made.set(name, `CREATE ${kind} ${quoted(name)} ON ${on} (${fields.map(quoted).join(', ')})${where}`);
  for (const name of setColumns(collection))
    add(`${collectionName}_${name}_by_id`, 'INDEX', setTable(collectionName, name), ['id']);
  for (const [key, fields] of Object.entries(unique ?? {}))
    add(`${collectionName}_unique_${key}`, 'UNIQUE INDEX', table, fields);
  for (const fields of indexesOf(collection)) {
    const column = sparse.find((name) => name === fields.at(-1));
    const where = column === undefined ? '' : ` WHERE ${quoted(column)} IS NOT NULL`;
    add(`${collectionName}_by_${fields.join('_')}`, 'INDEX', table, [...fields, 'id'], where);
  }
  return made;
}

function addColumns(db: Database, collection: AnyCollection): void {
  const found = db.prepare('SELECT name FROM pragma_table_info(?)').pluck(true).all(collection.name);
  for (const name of plainColumns(collection)) {
    if (!found.includes(name))
      db.exec(`ALTER TABLE ${quoted(collection.name)} ADD COLUMN ${columnSql(collection, name)}`);
  }
}

function changeIndexes(db: Database, collection: AnyCollection): void {
  const wanted = indexSql(collection);
  const tables = [
    collection.name,
    ...setColumns(collection).map((name) => setTable(collection.name, name).slice(1, -1)),
  ];
  const list = `SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN (${tables.map(() => '?').join(', ')})`;
  for (const { name, sql } of db.prepare(list).all(...tables) as { name: string; sql: string }[]) {
    if (wanted.get(name) === sql) wanted.delete(name);
    else db.exec(`DROP INDEX ${quoted(name)}`);
  }
  for (const sql of wanted.values()) db.exec(sql);
}

/** To be called within a transaction. A file that already has the layout is not written to. */
export function layOut(db: Database, collections: readonly AnyCollection[]): void {
  for (const statement of [...changeLogSchema, ...markSchema]) db.exec(statement);
  for (const collection of collections) {
    for (const statement of tablesOf(collection)) db.exec(statement);
    addColumns(db, collection);
    changeIndexes(db, collection);
  }
  if (layoutOf(db) !== schemaVersion) db.pragma(`user_version = ${schemaVersion}`);
}

export function layoutOf(db: Database): number {
  return db.pragma('user_version', { simple: true }) as number;
}

/** Refuses a file that a newer version wrote. */
export function assertKnown(db: Database, file: string): void {
  const found = layoutOf(db);
  if (found <= schemaVersion) return;
  throw new Error(
    `The database ${file} has layout ${found}; this version supports ${schemaVersion}. Use the newer version that wrote it.`,
  );
}
