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

export function orderColumns(collection: AnyCollection, order: string): string[] {
  const fields = collection.orders[order];
  if (fields === undefined) throw new Error(`${collection.name} declares no order "${order}"`);
  return [...fields, 'id'];
}

/** WHERE conditions on a table named `row`, and their values. */
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
      conditions.push(`row.${quoted(column)} IN (${wanted.map(() => '?').join(', ')})`);
      values.push(...(wanted as Scalar[]));
    } else {
      conditions.push(`row.${quoted(column)} IS ?`);
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
      conditions.push(`row."id" IN (SELECT "id" FROM ${setTable(collection.name, column)} WHERE "item" = ?)`);
      values.push(item);
    }
  }
  return { conditions, values };
}

/**
 * What a page is read from. In the order of the id, a set's own key (item, id) is in that order too: read from there,
 * the page's position leads into the set, and the cost does not grow with the number of documents that have the item.
 */
function sourceOf(
  collection: AnyCollection,
  query: PageQuery,
): { from: string; id: string; conditions: string[]; values: Scalar[] } {
  const table = quoted(collection.name);
  const [first] = Object.entries(query.has ?? {}).filter(([, items]) => items.length > 0);
  if (first === undefined || orderColumns(collection, query.order).length > 1)
    return { from: `${table} AS row`, id: 'row."id"', ...conditionsOf(collection, query) };
  const [column, [item = '']] = first;
  const { conditions, values } = conditionsOf(collection, { filter: query.filter ?? {} });
  // Looked up for each row: as a list, SQLite would make another set the way in.
  for (const [name, others] of Object.entries(query.has ?? {})) {
    for (const other of name === column ? others.slice(1) : others) {
      const set = setTable(collection.name, name);
      conditions.push(
        `EXISTS (SELECT 1 FROM ${set} AS also WHERE also."item" = ? AND also."id" = member."id")`,
      );
      values.push(other);
    }
  }
  return {
    // CROSS JOIN keeps SQLite from choosing another way in.
    from: `${setTable(collection.name, column)} AS member CROSS JOIN ${table} AS row ON row."id" = member."id"`,
    id: 'member."id"',
    conditions: ['member."item" = ?', ...conditions],
    values: [item, ...values],
  };
}

/** A page by keyset: the cost does not grow with the depth. */
export function pageSql(
  collection: AnyCollection,
  query: PageQuery,
  selected: readonly string[],
): { sql: string; values: Scalar[] } {
  const { from, id, conditions, values } = sourceOf(collection, query);
  const order = orderColumns(collection, query.order).map((column) =>
    column === 'id' ? id : `row.${quoted(column)}`,
  );
  if (query.after !== undefined) {
    conditions.push(
      `(${order.join(', ')}) ${query.descending ? '<' : '>'}${query.inclusive ? '=' : ''} (${order.map(() => '?').join(', ')})`,
    );
    values.push(...query.after);
  }
  const direction = query.descending ? ' DESC' : '';
  const sql =
    `SELECT ${selected.map((column) => `row.${quoted(column)}`).join(', ')} FROM ${from}` +
    (conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`) +
    ` ORDER BY ${order.map((column) => column + direction).join(', ')} LIMIT ?`;
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
