/**
 * How a document is stored in its MongoDB collection.
 *
 * The value and the public representation are JSON texts, so that no content can be mistaken for an operator, a path or
 * a key that BSON cannot hold. Each declared column is the field `c_NAME`. Each unique key is one text `k_NAME`, and
 * each order one text `o_NAME` that sorts by bytes as the order's columns and the id do: so every page is one range of
 * one index, on every engine, and a null in a key needs no partial index.
 */
import { assertUnicode, type CollectionSpec, type Document, type Scalar } from '../port.js';

export type AnyCollection = CollectionSpec<never>;

export interface StoredDocument {
  _id: string;
  /** 0 marks the tombstone that a removed document leaves for a while; readers never see it. */
  revision: number;
  /** Identifies this version of the document; never reused. The number of its journal entry, a dot, the step. */
  stamp: string;
  value?: string;
  public?: string | null;
  /** When a tombstone was left: milliseconds since 1970. */
  since?: number;
  [field: string]: unknown;
}

export const columnField = (column: string): string => (column === 'id' ? '_id' : `c_${column}`);
export const keyField = (key: string): string => `k_${key}`;
export const orderField = (order: string): string => `o_${order}`;

/** The number of the journal entry that wrote this version. */
export function entryOf(stamp: string): number {
  return Number.parseInt(stamp, 10);
}

/** The text of a unique key. With a null in it, the text is unique to the document, so that the document is exempt. */
export function keyText(values: readonly Scalar[], id: string): string {
  return values.includes(null) ? outsideKey(id) : `v${JSON.stringify(values)}`;
}

export function outsideKey(id: string): string {
  return `n${id}`;
}

/**
 * A text that sorts by code point like the tuple. NUL ends a text, and is escaped within it by another character; a
 * null comes first, as in SQLite.
 */
export function orderText(values: readonly Scalar[], id: string): string {
  return values.map(encoded).join('') + id;
}

const integerOffset = 2n ** 63n;

function encoded(value: Scalar): string {
  if (value === null) return '\u0000\u0000';
  if (typeof value === 'number')
    return `${(BigInt(value) + integerOffset).toString(16).padStart(16, '0')}\u0000\u0001`;
  return `${value.replaceAll('\u0000', '\u0000\u0002')}\u0000\u0001`;
}

/** The fields of a document, except its revision and stamp. */
export function fieldsOf(
  collection: AnyCollection,
  id: string,
  value: unknown,
): Omit<StoredDocument, 'revision' | 'stamp'> {
  const columns = collection.columnsOf(id, value as never);
  assertUnicode(id, ...Object.values(columns).flat());
  const fields: Omit<StoredDocument, 'revision' | 'stamp'> = {
    _id: id,
    value: JSON.stringify(value),
    public: collection.present === undefined ? null : JSON.stringify(collection.present(id, value as never)),
  };
  const plain = (names: readonly string[]) => names.map((name) => (columns[name] ?? null) as Scalar);
  for (const [name, type] of Object.entries(collection.columns)) {
    const column = columns[name];
    fields[columnField(name)] =
      type === 'set' ? [...new Set(column as string[] | undefined)] : (column ?? null);
  }
  for (const [key, names] of Object.entries(collection.unique ?? {}))
    fields[keyField(key)] = keyText(plain(names), id);
  for (const [order, names] of Object.entries(collection.orders)) {
    if (names.length > 0) fields[orderField(order)] = orderText(plain(names), id);
  }
  return fields;
}

/** The tombstone of a removed document: its id, no keys, and no columns, by which filters recognise it (queries.ts). */
export function placeFor(collection: AnyCollection, id: string, stamp: string): StoredDocument {
  const keys = Object.keys(collection.unique ?? {}).map((key) => [keyField(key), outsideKey(id)]);
  return { _id: id, revision: 0, stamp, since: Date.now(), ...(Object.fromEntries(keys) as object) };
}

export interface Index {
  name: string;
  fields: Record<string, 1>;
  unique: boolean;
  /** Only of documents that have the field. */
  sparse?: true;
}

/** Every index that unique keys, orders, filters and sets need. */
export function indexesOf(collection: AnyCollection): Index[] {
  const indexes: Index[] = Object.keys(collection.unique ?? {}).map((key) => ({
    name: `unique_${keyField(key)}`,
    fields: { [keyField(key)]: 1 },
    unique: true,
    // Older documents have no such field until they are migrated.
    sparse: true,
  }));
  // Only of tombstones, which the sweeper searches for.
  indexes.push({ name: 'by_since', fields: { since: 1 }, unique: false, sparse: true });
  const add = (fields: readonly string[]) =>
    indexes.push({
      name: `by_${fields.join('_')}`,
      fields: Object.fromEntries(fields.map((field) => [field, 1 as const])),
      unique: false,
    });
  const { filteredOrders = [] } = collection;
  for (const [order, columns] of Object.entries(collection.orders)) {
    if (columns.length > 0 && !filteredOrders.includes(order)) add([orderField(order)]);
  }
  for (const columns of collection.indexes ?? []) add(extraIndex(collection, columns));
  // The text of a key does not serve an order, so a key that ends with one also gets an index of its columns.
  for (const columns of Object.values(collection.unique ?? {})) {
    if (orderAtEnd(collection, columns) !== undefined) add(extraIndex(collection, columns));
  }
  for (const [name, type] of Object.entries(collection.columns)) {
    if (type === 'set') add([columnField(name)]);
  }
  const names = new Set<string>();
  return indexes.filter(({ name }) => !names.has(name) && names.add(name));
}

/** The longest order that a list of columns ends with; the whole list only if no part of it is one. */
function orderAtEnd(
  collection: AnyCollection,
  columns: readonly string[],
): [string, readonly string[]] | undefined {
  const whole = ([, names]: [string, readonly string[]]) => Number(names.length === columns.length);
  return Object.entries(collection.orders)
    .filter(([, names]) => names.length > 0 && names.length <= columns.length)
    .filter(([, names]) => names.every((name, at) => columns[columns.length - names.length + at] === name))
    .sort((a, b) => whole(a) - whole(b) || b[1].length - a[1].length)[0];
}

/** Equality columns, then the field of the order that the index ends with, or the id. */
function extraIndex(collection: AnyCollection, columns: readonly string[]): string[] {
  const [order, ending = []] = orderAtEnd(collection, columns) ?? [];
  const equal = columns.slice(0, columns.length - ending.length).map(columnField);
  return [...equal, order === undefined ? '_id' : orderField(order)];
}

export function documentOf<T>({ _id, revision, value }: StoredDocument): Document<T> {
  return { id: _id, revision, value: JSON.parse(value ?? 'null') as T };
}
