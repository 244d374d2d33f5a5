/** The SQL of one collection: its tables and indexes, and the statements that the store runs. */
import type { CollectionSpec, PageQuery, Query, Scalar, TextQuery } from '../port.js';

type AnyCollection = CollectionSpec<never>;

/** Names come from collection declarations in our code, never from a request; this catches a typo, not an attack. */
export function quoted(name: string): string {
  if (!/^[A-Za-z][A-Za-z0-9_]*$/.test(name)) throw new Error(`"${name}" cannot name a table or column`);
  return `"${name}"`;
}

export function setTable(collection: string, column: string): string {
  return quoted(`${collection}_${column}`);
}

export function plainColumns(collection: AnyCollection): string[] {
  return Object.entries(collection.columns)
    .filter(([, type]) => type !== 'set')
    .map(([name]) => name);
}

export function setColumns(collection: AnyCollection): string[] {
  return Object.entries(collection.columns)
    .filter(([, type]) => type === 'set')
    .map(([name]) => name);
}

export function schemaOf(collection: AnyCollection): string[] {
  const table = quoted(collection.name);
  const columns = plainColumns(collection).map(
    (name) => `${quoted(name)} ${collection.columns[name] === 'integer' ? 'INTEGER' : 'TEXT'}`,
  );
  const statements = [
    `CREATE TABLE IF NOT EXISTS ${table} (${[
      '"id" TEXT PRIMARY KEY',
      '"revision" INTEGER NOT NULL',
      ...columns,
      '"value" TEXT NOT NULL',
      '"public" TEXT',
    ].join(', ')}) STRICT`,
  ];
  for (const name of setColumns(collection)) {
    statements.push(
      `CREATE TABLE IF NOT EXISTS ${setTable(collection.name, name)} ("item" TEXT NOT NULL, "id" TEXT NOT NULL, ` +
        'PRIMARY KEY ("item", "id")) STRICT, WITHOUT ROWID',
      `CREATE INDEX IF NOT EXISTS ${quoted(`${collection.name}_${name}_by_id`)} ON ${setTable(collection.name, name)} ("id")`,
    );
  }
  for (const [key, fields] of Object.entries(collection.unique ?? {})) {
    statements.push(
      `CREATE UNIQUE INDEX IF NOT EXISTS ${quoted(`${collection.name}_unique_${key}`)} ON ${table} (${fields.map(quoted).join(', ')})`,
    );
  }
  const indexes = [...Object.values(collection.orders), ...(collection.indexes ?? [])];
  for (const fields of indexes.filter((fields) => fields.length > 0)) {
    statements.push(
      `CREATE INDEX IF NOT EXISTS ${quoted(`${collection.name}_by_${fields.join('_')}`)} ON ${table} (${[...fields, 'id'].map(quoted).join(', ')})`,
    );
  }
  return statements;
}

export function orderColumns(collection: AnyCollection, order: string): string[] {
  const fields = collection.orders[order];
  if (fields === undefined) throw new Error(`${collection.name} declares no order "${order}"`);
  return [...fields, 'id'];
}

/** WHERE conditions and their values. */
export function conditionsOf(
  collection: AnyCollection,
  query: Omit<Query, 'order'>,
): { conditions: string[]; values: Scalar[] } {
  const conditions: string[] = [];
  const values: Scalar[] = [];
  for (const [column, wanted] of Object.entries(query.filter ?? {})) {
    if (column !== 'id' && !(column in collection.columns))
      throw new Error(`${collection.name} has no column ${column}`);
    if (Array.isArray(wanted)) {
      conditions.push(`${quoted(column)} IN (${wanted.map(() => '?').join(', ')})`);
      values.push(...(wanted as Scalar[]));
    } else {
      conditions.push(`${quoted(column)} IS ?`);
      values.push(wanted as Scalar);
    }
  }
  if (query.span !== undefined) {
    const { column, from, before } = query.span;
    if (column !== 'id' && !(column in collection.columns))
      throw new Error(`${collection.name} has no column ${column}`);
    if (from !== undefined) {
      conditions.push(`${quoted(column)} >= ?`);
      values.push(from);
    }
    if (before !== undefined) {
      conditions.push(`${quoted(column)} < ?`);
      values.push(before);
    }
  }
  for (const [column, items] of Object.entries(query.has ?? {})) {
    for (const item of items) {
      conditions.push(`"id" IN (SELECT "id" FROM ${setTable(collection.name, column)} WHERE "item" = ?)`);
      values.push(item);
    }
  }
  return { conditions, values };
}

/** A page by keyset: the cost does not grow with the depth. */
export function pageSql(
  collection: AnyCollection,
  query: PageQuery,
  selected: readonly string[],
): { sql: string; values: Scalar[] } {
  const { conditions, values } = conditionsOf(collection, query);
  const order = orderColumns(collection, query.order);
  const columns = order.map(quoted).join(', ');
  if (query.after !== undefined) {
    conditions.push(
      `(${columns}) ${query.descending ? '<' : '>'}${query.inclusive ? '=' : ''} (${order.map(() => '?').join(', ')})`,
    );
    values.push(...query.after);
  }
  const direction = query.descending ? ' DESC' : '';
  const sql =
    `SELECT ${selected.map(quoted).join(', ')} FROM ${quoted(collection.name)}` +
    (conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`) +
    ` ORDER BY ${order.map((column) => quoted(column) + direction).join(', ')} LIMIT ?`;
  return { sql, values: [...values, query.limit] };
}

/** The texts of a page as one JSON array. The blob spares the way through JavaScript's UTF-16. */
export function textSql(collection: AnyCollection, query: TextQuery): { sql: string; values: Scalar[] } {
  const order = orderColumns(collection, query.order);
  const { sql, values } = pageSql(collection, query, query.reversed ? ['public', ...order] : ['public']);
  const direction = query.descending ? '' : ' DESC';
  // LIMIT -1 changes nothing but forbids SQLite to drop the order of a subquery.
  const rows = query.reversed
    ? `SELECT "public" FROM (${sql}) ORDER BY ${order.map((column) => quoted(column) + direction).join(', ')} LIMIT -1`
    : sql;
  return {
    sql: `SELECT CAST('[' || coalesce(group_concat("public", ','), '') || ']' AS BLOB) FROM (${rows})`,
    values,
  };
}

/** Positions of the last row of a full page and of the first row behind it, from the index alone. */
export function edgeSql(collection: AnyCollection, query: PageQuery): { sql: string; values: Scalar[] } {
  const { sql, values } = pageSql(collection, { ...query, limit: 2 }, orderColumns(collection, query.order));
  return { sql: `${sql} OFFSET ?`, values: [...values, query.limit - 1] };
}
