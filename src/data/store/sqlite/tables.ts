/** The SQL of one collection: the statements that the store runs. */
import {
  type CollectionSpec,
  type CountQuery,
  indexesOf,
  listed,
  type PageQuery,
  type Query,
  type Scalar,
  spansOf,
  type TextQuery,
} from '../port.js';

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

/** WHERE conditions on a table named `row`, and their values. `idOf`: the id that ranges of ids refer to. */
export function conditionsOf(
  collection: AnyCollection,
  query: Omit<Query, 'order'>,
  idOf = 'row."id"',
): { conditions: string[]; values: Scalar[] } {
  const conditions: string[] = [];
  const values: Scalar[] = [];
  for (const [column, wanted] of Object.entries(query.filter ?? {})) {
    if (column !== 'id' && !(column in collection.columns))
      throw new Error(`${collection.name} has no column ${column}`);
    const list = listed(wanted);
    if (list !== undefined) {
      conditions.push(`row.${quoted(column)} IN (${list.map(() => '?').join(', ')})`);
      values.push(...list);
    } else {
      conditions.push(`row.${quoted(column)} IS ?`);
      values.push(wanted as Scalar);
    }
  }
  for (const { column, from, before } of spansOf(query)) {
    if (column !== 'id' && !(column in collection.columns))
      throw new Error(`${collection.name} has no column ${column}`);
    const name = column === 'id' ? idOf : `row.${quoted(column)}`;
    if (from !== undefined) {
      conditions.push(`${name} >= ?`);
      values.push(from);
    }
    if (before !== undefined) {
      conditions.push(`${name} < ?`);
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

/** A page query with the total number of rows needed from its position on. */
interface Reach extends PageQuery {
  reach: number;
}

interface Source {
  /** What comes before SELECT. */
  before: string;
  from: string;
  /** The id to compare and sort by. */
  id: string;
  conditions: string[];
  values: Scalar[];
}

function sourceOf(collection: AnyCollection, query: Reach): Source {
  return setSource(collection, query) ?? mergedSource(collection, query) ?? tableSource(collection, query);
}

function tableSource(collection: AnyCollection, query: PageQuery): Source {
  const { conditions, values } = conditionsOf(collection, query);
  return {
    before: '',
    from: `${quoted(collection.name)} AS row`,
    id: 'row."id"',
    ...positioned(collection, query, 'row', { conditions, values }),
  };
}

/**
 * In id order, a set's own key (item, id) has the same order: reading from it, the page's position leads into the set,
 * and the cost does not grow with the number of documents that have the item.
 */
function setSource(collection: AnyCollection, query: PageQuery): Source | undefined {
  const [first] = Object.entries(query.has ?? {}).filter(([, items]) => items.length > 0);
  if (first === undefined || orderColumns(collection, query.order).length > 1) return undefined;
  const [column, [item = '']] = first;
  const { has: _has, ...others } = query;
  const { conditions, values } = conditionsOf(collection, others, 'member."id"');
  // Looked up for each row: with a list, SQLite would start from another set.
  for (const [name, items] of Object.entries(query.has ?? {})) {
    for (const other of name === column ? items.slice(1) : items) {
      const set = setTable(collection.name, name);
      conditions.push(
        `EXISTS (SELECT 1 FROM ${set} AS also WHERE also."item" = ? AND also."id" = member."id")`,
      );
      values.push(other);
    }
  }
  const found = { conditions: ['member."item" = ?', ...conditions], values: [item, ...values] };
  return {
    before: '',
    // CROSS JOIN keeps SQLite from reordering the join.
    from: `${setTable(collection.name, column)} AS member CROSS JOIN ${quoted(collection.name)} AS row ON row."id" = member."id"`,
    id: 'member."id"',
    ...positioned(collection, query, 'member', found),
  };
}

/**
 * For several values of a column whose index continues in the page's order: a page per value, and then the first rows
 * of these. SQLite itself would sort all matches after the position.
 */
function mergedSource(collection: AnyCollection, query: Reach): Source | undefined {
  const fields = orderColumns(collection, query.order).slice(0, -1);
  const indexes = [...indexesOf(collection), ...Object.values(collection.unique ?? {})];
  const several = Object.entries(query.filter ?? {}).find(
    ([column, wanted]) =>
      (listed(wanted) ?? []).length > 1 &&
      indexes.some((index) => index.join() === [column, ...fields].join()),
  );
  if (several === undefined) return undefined;
  const [column, wanted] = several as [string, readonly (string | number)[]];
  const distinct = [...new Set(wanted)];
  const { [column]: _led, ...filter } = query.filter ?? {};
  const inner = tableSource(collection, { ...query, filter });
  const page =
    `SELECT row.rowid FROM ${inner.from} WHERE ` +
    [`row.${quoted(column)} = wanted.value`, ...inner.conditions].join(' AND ') +
    ` ORDER BY ${sorted(collection, query, inner.id)} LIMIT ?`;
  const table = quoted(collection.name);
  return {
    before: `WITH wanted(value) AS (VALUES ${distinct.map(() => '(?)').join(', ')}) `,
    from: `wanted CROSS JOIN ${table} AS row`,
    id: 'row."id"',
    conditions: [`row.rowid IN (${page})`],
    values: [...distinct, ...inner.values, query.reach],
  };
}

/** Adds the condition of the page's position. */
function positioned(
  collection: AnyCollection,
  { order, after, descending, inclusive }: PageQuery,
  idOf: string,
  { conditions, values }: Pick<Source, 'conditions' | 'values'>,
): Pick<Source, 'conditions' | 'values'> {
  if (after === undefined) return { conditions, values };
  const columns = orderColumns(collection, order).map((column) =>
    column === 'id' ? `${idOf}."id"` : `row.${quoted(column)}`,
  );
  const comparison = `${descending ? '<' : '>'}${inclusive ? '=' : ''}`;
  return {
    conditions: [
      ...conditions,
      `(${columns.join(', ')}) ${comparison} (${columns.map(() => '?').join(', ')})`,
    ],
    values: [...values, ...after],
  };
}

function sorted(collection: AnyCollection, { order, descending }: PageQuery, id: string): string {
  const direction = descending ? ' DESC' : '';
  return orderColumns(collection, order)
    .map((column) => (column === 'id' ? id : `row.${quoted(column)}`) + direction)
    .join(', ');
}

/** A page by keyset: the cost does not grow with the depth. `reach` counts the rows before an offset too. */
export function pageSql(
  collection: AnyCollection,
  query: PageQuery,
  selected: readonly string[],
  reach = query.limit,
): { sql: string; values: Scalar[] } {
  const { before, from, id, conditions, values } = sourceOf(collection, { ...query, reach });
  const sql =
    `${before}SELECT ${selected.map((column) => `row.${quoted(column)}`).join(', ')} FROM ${from}` +
    (conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`) +
    ` ORDER BY ${sorted(collection, query, id)} LIMIT ?`;
  return { sql, values: [...values, query.limit] };
}

/** The texts of a page as one JSON array. A blob avoids the conversion to JavaScript's UTF-16. */
export function textSql(collection: AnyCollection, query: TextQuery): { sql: string; values: Scalar[] } {
  const order = orderColumns(collection, query.order);
  const { sql, values } = pageSql(collection, query, query.reversed ? ['public', ...order] : ['public']);
  const direction = query.descending ? '' : ' DESC';
  // LIMIT -1 only keeps SQLite from dropping the order of the subquery.
  const rows = query.reversed
    ? `SELECT "public" FROM (${sql}) ORDER BY ${order.map((column) => quoted(column) + direction).join(', ')} LIMIT -1`
    : sql;
  return {
    sql: `SELECT CAST('[' || coalesce(group_concat("public", ','), '') || ']' AS BLOB) FROM (${rows})`,
    values,
  };
}

/** The number of matches, at most a given one. */
export function countSql(collection: AnyCollection, query: CountQuery): { sql: string; values: Scalar[] } {
  const { conditions, values } = conditionsOf(collection, query);
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  const from = `FROM ${quoted(collection.name)} AS row${where}`;
  const { atMost } = query;
  if (atMost === undefined) return { sql: `SELECT count(*) AS "count" ${from}`, values };
  const sql = `SELECT count(*) AS "count" FROM (SELECT 1 ${from} LIMIT ?)`;
  return { sql, values: [...values, atMost] };
}

/** Positions of the last row of a full page and of the first row after it, from the index alone. */
export function edgeSql(collection: AnyCollection, query: PageQuery): { sql: string; values: Scalar[] } {
  const order = orderColumns(collection, query.order);
  const { sql, values } = pageSql(collection, { ...query, limit: 2 }, order, query.limit + 1);
  return { sql: `${sql} OFFSET ?`, values: [...values, query.limit - 1] };
}
