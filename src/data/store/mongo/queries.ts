/** Filters and sorts of MongoDB for the port's queries. Values are scalars, so none can be an operator. */
import type { Filter, Sort } from 'mongodb';
import { listed, type PageQuery, type Query, type Scalar, spansOf } from '../port.js';
import { type AnyCollection, columnField, orderField, orderText, type StoredDocument } from './documents.js';

/** Columns of an order, without the id. */
export function orderColumns(collection: AnyCollection, order: string): readonly string[] {
  const columns = collection.orders[order];
  if (columns === undefined) throw new Error(`${collection.name} declares no order "${order}"`);
  return columns;
}

type Condition = Record<string, unknown>;

/** All conditions of the filter and the sets, and that the document is visible to readers. */
function filterOf(collection: AnyCollection, query: Omit<Query, 'order'>): Filter<StoredDocument> {
  const conditions: Condition[] = [];
  const must = (column: string, condition: unknown) => conditions.push({ [columnField(column)]: condition });
  for (const [column, wanted] of Object.entries(query.filter ?? {})) {
    if (column !== 'id' && !Object.hasOwn(collection.columns, column))
      throw new Error(`${collection.name} has no column ${column}`);
    const list = listed(wanted);
    for (const one of list ?? [wanted]) assertScalar(one);
    must(column, list === undefined ? wanted : { $in: list });
  }
  for (const [column, items] of Object.entries(query.has ?? {})) {
    if (collection.columns[column] !== 'set') throw new Error(`${collection.name} has no set ${column}`);
    if (items.length > 0) must(column, { $all: [...new Set(items)] });
  }
  for (const { column, from, before } of spansOf(query)) {
    if (column !== 'id' && !['text', 'integer'].includes(collection.columns[column] ?? ''))
      throw new Error(`${collection.name} has no plain column ${column}`);
    const range = {
      ...(from === undefined ? {} : { $gte: from }),
      ...(before === undefined ? {} : { $lt: before }),
    };
    if (Object.keys(range).length > 0) must(column, range);
  }
  return merged(conditions.some(excludesPlaces) ? conditions : [...conditions, { revision: { $gte: 1 } }]);
}

/** The types guarantee this; but here an object would be taken for operators, and undefined for null. */
function assertScalar(value: unknown): void {
  if (value !== null && typeof value !== 'string' && typeof value !== 'number')
    throw new Error('A filter value is not a string, a number or null');
}

/**
 * A tombstone has no columns, so a filter on a column value already excludes it, and documents need not be read only
 * for that. Some engines are a hundred times slower otherwise.
 */
function excludesPlaces(condition: Condition): boolean {
  return Object.entries(condition).some(([field, wanted]) => field !== '_id' && wanted !== null);
}

/** One object if no field occurs twice, so that the server's planner has as little to analyse as possible. */
function merged(conditions: readonly Condition[]): Filter<StoredDocument> {
  const fields = conditions.flatMap((condition) => Object.keys(condition));
  if (new Set(fields).size < fields.length) return { $and: [...conditions] };
  return Object.fromEntries(conditions.flatMap(Object.entries));
}

/**
 * The filter of a count; a span becomes a range of the index of an order that begins with its column, if there is one.
 */
export function countedBy(collection: AnyCollection, query: Omit<Query, 'order'>): Filter<StoredDocument> {
  const { orders, filteredOrders = [] } = collection;
  const ranged = spansOf(query).map(({ column }) => column);
  const fitting = Object.keys(orders).filter((order) => ranged.includes(orders[order]?.[0] ?? ''));
  const order = fitting.find((name) => !filteredOrders.includes(name));
  const range = order === undefined ? [] : spanRange(orders[order] ?? [], orderField(order), query);
  return merged([filterOf(collection, query), ...range]);
}

/** A page as one range of the order's index. */
export function pageOf(
  collection: AnyCollection,
  query: PageQuery,
): { filter: Filter<StoredDocument>; sort: Sort } {
  const columns = orderColumns(collection, query.order);
  const field = columns.length === 0 ? '_id' : orderField(query.order);
  const filter = merged([filterOf(collection, query), ...spanRange(columns, field, query)]);
  const sort: Sort = { [field]: query.descending === true ? -1 : 1 };
  if (query.after === undefined) return { filter, sort };
  const operator = `$${query.descending === true ? 'lt' : 'gt'}${query.inclusive === true ? 'e' : ''}`;
  const range = { [field]: { [operator]: positionText(columns, query.after) } };
  return { filter: merged([filter, range]), sort };
}

/** The span of the order's first column, also as a range of its texts, so that it bounds the index scan. */
function spanRange(columns: readonly string[], field: string, query: Omit<Query, 'order'>): Condition[] {
  const span = spansOf(query).find(({ column }) => column === columns[0]);
  if (span === undefined) return [];
  const bounds = Object.entries({ $gte: span.from, $lt: span.before }).flatMap(([operator, value]) => {
    const bound = boundOf(value);
    return bound === undefined ? [] : [[operator, orderText([bound], '')] as const];
  });
  return bounds.length === 0 ? [] : [{ [field]: Object.fromEntries(bounds) }];
}

/** Columns contain whole numbers: below or from 1.5 is the same as below or from 2. */
function boundOf(value: string | number | undefined): string | number | undefined {
  if (typeof value !== 'number') return value;
  return Number.isSafeInteger(Math.ceil(value)) ? Math.ceil(value) : undefined;
}

function positionText(columns: readonly string[], after: readonly Scalar[]): string {
  if (after.length !== columns.length + 1) throw new Error('The position does not match the order');
  const id = after[columns.length];
  return orderText(after.slice(0, columns.length), String(id));
}
