/**
 * The Store port: collections of documents, small enough that two engines can be proven equivalent.
 *
 * A document has an id, a revision that grows by one with each replace, a value (JSON), and the columns that its
 * collection derives from the value. Next to the value is its public JSON text, because joining stored texts costs a
 * tenth of reading, parsing and serialising rows.
 */
import type { Interruption } from '../../model/interruption.js';

export type Scalar = string | number | null;

export interface Document<T> {
  id: string;
  revision: number;
  value: T;
}

export interface CollectionSpec<T> {
  /** Lower-case; names the table. */
  readonly name: string;
  /** Columns for filters, orders and unique keys. A `set` holds any number of texts, for "has all of" filters. */
  readonly columns: Readonly<Record<string, 'text' | 'integer' | 'set'>>;
  columnsOf(id: string, value: T): Record<string, Scalar | string[]>;
  /** The public representation; its JSON text is stored with the document. */
  present?(id: string, value: T): unknown;
  /** Keys that must be unique; a document with a null in a key is exempt. */
  readonly unique?: Readonly<Record<string, readonly string[]>>;
  /** Sort orders of pages, each a list of columns, not null in any document of such a page; the id is always added last. */
  readonly orders: Readonly<Record<string, readonly string[]>>;
  /** Extra indexes, as equality columns followed by the columns of an order. */
  readonly indexes?: readonly (readonly string[])[];
  /**
   * Columns that are null in most documents, each the last of an index: it omits these documents, which makes their
   * writes cheaper. It serves only queries with a `span` on the column.
   */
  readonly sparse?: readonly string[];
  /**
   * Orders that are only used together with a filter: an entry of `indexes`, filter columns first, serves them, and
   * they get no index of their own.
   */
  readonly filteredOrders?: readonly string[];
  /** Writes are recorded in the durable change log, each with the value of this column, which scopes its readers. */
  readonly loggedBy?: string;
}

/** A plain column, or `id`, is in this range: from the first value (inclusive) to the second (exclusive). */
export interface Span {
  readonly column: string;
  readonly from?: string | number;
  readonly before?: string | number;
}

export interface Query {
  /**
   * The column equals the value, which may be null, or one of the values, which may not: engines reject a null there.
   */
  filter?: Readonly<Record<string, Scalar | readonly (string | number)[]>>;
  /** The set column contains all of the texts. */
  has?: Readonly<Record<string, readonly string[]>>;
  /** One range, or several that must all hold. */
  span?: Span | readonly Span[];
  /** Name of a declared order. */
  order: string;
}

export interface CountQuery extends Omit<Query, 'order'> {
  atMost?: number;
}

export interface PageQuery extends Query {
  /** Values of the order's columns and then the id: the page begins after it. */
  after?: readonly Scalar[];
  /** The page begins with the row at `after`, if it exists, instead of after it. */
  inclusive?: boolean;
  limit: number;
  descending?: boolean;
}

/** A page query for texts. `reversed` reverses the rows of the page once they are found. */
export interface TextQuery extends PageQuery {
  reversed?: boolean;
}

/** A page of a list, before its resource adds visibility and filters. */
export type ListPage = Omit<TextQuery, 'filter' | 'has' | 'span'>;

/** A page as stored texts, joined inside the engine: no row of it becomes an object. */
export interface TextPage {
  /** The public texts as one JSON array, in UTF-8. */
  body: Buffer;
  /** Whether more rows follow. */
  more: boolean;
  /** Position of the last row, if the page is full: values of the order's columns, and the id. */
  last?: Scalar[];
}

/** The page of a list of which the caller may see nothing. */
export const emptyPage: TextPage = { body: Buffer.from('[]'), more: false };

/** The public text of a document, with the column that decides who may read it. */
export interface StoredText {
  text: string;
  revision: number;
  column: Scalar;
}

export type Write =
  | {
      op: 'insert';
      collection: CollectionSpec<never>;
      id: string;
      value: unknown;
      /** The initial revision, for copies of documents; 1 by default. */
      revision?: number;
      /** Not for the change log, as below. */
      quiet?: boolean;
    }
  | {
      op: 'replace';
      collection: CollectionSpec<never>;
      id: string;
      value: unknown;
      revision: number;
      /** Not for the change log: nothing that a reader can see changes. */
      quiet?: boolean;
      /** The revision stays, and with it every ETag: for migrations that only derive columns and texts again. */
      keepRevision?: boolean;
      /** The operation in the change log, if it is more than an update to readers of the log. */
      loggedAs?: 'expire';
    }
  | {
      op: 'remove';
      collection: CollectionSpec<never>;
      id: string;
      revision: number;
      /** Not for the change log, as above. */
      quiet?: boolean;
    }
  | {
      /** Writes nothing: the batch is stored only if the document still has this revision. */
      op: 'check';
      collection: CollectionSpec<never>;
      id: string;
      revision: number;
    };

/** One write to a logged collection. */
export interface Change {
  /**
   * Increases along the log. A reader that has read up to a position finds all later changes after it, and none before
   * it.
   */
  position: number;
  /** RFC 3339, UTC. */
  time: string;
  collection: string;
  id: string;
  op: Exclude<Write['op'], 'check'> | 'expire';
  /** The revision after the write; for a removed document its last. */
  revision: number;
  /** Value of the collection's `loggedBy` column. */
  scope: string | null;
  /** The public text after the write; null if the document was removed. */
  text: string | null;
}

export interface ChangeQuery {
  /** Only changes after this position. */
  after: number;
  /** Only changes of these scopes. */
  scopes?: readonly string[];
  /** Only inserts, and only into this collection. */
  insertedInto?: string;
  limit: number;
}

export interface ChangePage {
  changes: Change[];
  /** Where to continue, even if the query excluded everything. */
  next: number;
}

/**
 * A lost write: another one was faster (`revision`), or a unique key is taken (`unique`). Nothing of its batch is
 * stored.
 */
export class StoreConflict extends Error {
  override readonly name = 'StoreConflict';
  readonly kind: 'revision' | 'unique';
  readonly collection: string;
  /** For `revision` the document's id. For `unique` the first key that is taken: `id`, then in order of declaration. */
  readonly key: string;

  constructor(kind: 'revision' | 'unique', collection: string, key: string) {
    super(`${kind} conflict in ${collection}: ${key}`);
    this.kind = kind;
    this.collection = collection;
    this.key = key;
  }
}

/** Receives what was written: the value is undefined if the document was removed. */
export type WriteListener = (collection: string, id: string, value: unknown) => void;

/** Every method that takes a signal rejects with its reason when it aborts; a write that has begun completes. */
export interface Store {
  get<T>(collection: CollectionSpec<T>, id: string, signal?: Interruption): Promise<Document<T> | undefined>;
  /** The public text, the revision and one plain column, without parsing the value. */
  text(
    collection: CollectionSpec<never>,
    id: string,
    column: string,
    signal?: Interruption,
  ): Promise<StoredText | undefined>;
  /** The document with this unique key. */
  find<T>(
    collection: CollectionSpec<T>,
    key: string,
    values: readonly Scalar[],
    signal?: Interruption,
  ): Promise<Document<T> | undefined>;
  page<T>(collection: CollectionSpec<T>, query: PageQuery, signal?: Interruption): Promise<Document<T>[]>;
  /** The texts of a page; `reversed` is for pages that are reached backwards. */
  pageTexts(collection: CollectionSpec<never>, query: TextQuery, signal?: Interruption): Promise<TextPage>;
  /** The number of matches; `atMost` if there are at least that many, so that no more are read. */
  count(collection: CollectionSpec<never>, query: CountQuery, signal?: Interruption): Promise<number>;
  /** All of the writes or none; rejects with StoreConflict. When it resolves, the writes survive a crash. */
  write(writes: readonly Write[], signal?: Interruption): Promise<void>;
  /**
   * Changes the first matches of the query, each atomically and once, even if it still matches. Fewer than the limit:
   * there were no more. `change` may run more than once.
   */
  claim<T>(
    collection: CollectionSpec<T>,
    query: PageQuery,
    change: (document: Document<T>) => T,
  ): Promise<Document<T>[]>;
  /** Reports documents written by this process. A hint to read again, not a log. */
  watch(listener: WriteListener): () => void;
  /**
   * The durable log of writes to logged collections, of all processes, oldest first. Written in the same batch as the
   * write itself, so that neither exists without the other.
   */
  changes(query: ChangeQuery, signal?: Interruption): Promise<ChangePage>;
  /**
   * The first position that is still in the log and the last that was ever used: 0 and 0 if it was never written, and
   * the first after the last if everything is trimmed.
   */
  changeRange(): Promise<{ first: number; last: number }>;
  /**
   * For frequent polling: the last position that was ever used, and a number that changes when another process has
   * written since the last call.
   */
  lastChange(): Promise<{ position: number; others: number }>;
  /** Drops changes older than this time (RFC 3339, UTC) from the log; returns how many. Positions are never reused. */
  trimChanges(before: string): Promise<number>;
  /**
   * Changes when another process may have written. Together with `watch` it shows when cached reads are invalid, at the
   * cost of a microsecond per request instead of a read.
   */
  epoch(): number;
  /** Releases unused space, a little at a time. Not implemented by engines that do so themselves. */
  tidy?(): Promise<void>;
  close(): Promise<void>;
}

/** The ranges of a query. */
export function spansOf({ span }: Omit<Query, 'order'>): readonly Span[] {
  return span === undefined ? [] : 'column' in span ? [span] : span;
}

/** The values of a filter for one of several. */
export function listed(wanted: unknown): readonly (string | number)[] | undefined {
  if (!Array.isArray(wanted)) return undefined;
  if (wanted.includes(null)) throw new Error('A list of filter values contains null');
  return wanted as (string | number)[];
}

/** Reads one document of a store that another version may have written, before it is opened. */
export type ReadDocument = <T>(collection: CollectionSpec<T>, id: string) => Promise<Document<T> | undefined>;

/** The index of every order that has its own, and the extra ones: columns, before the id. */
export function indexesOf({ orders, indexes, filteredOrders }: CollectionSpec<never>): (readonly string[])[] {
  const own = Object.entries(orders).filter(([name]) => !(filteredOrders ?? []).includes(name));
  return [...own.map(([, fields]) => fields), ...(indexes ?? [])].filter((fields) => fields.length > 0);
}

/** Engines store U+FFFD in place of an unpaired surrogate, and two different texts would become one. */
export function assertUnicode(...texts: readonly unknown[]): void {
  for (const text of texts) {
    if (typeof text === 'string' && /\p{Surrogate}/u.test(text))
      throw new Error('A key or column is not valid Unicode');
  }
}

/** The value after a write; undefined if it removes the document. */
export function valueOf(write: Write): unknown {
  return write.op === 'remove' || write.op === 'check' ? undefined : write.value;
}

/** Helpers that tie the value's type to the collection's. */
export function insert<T>(collection: CollectionSpec<T>, id: string, value: T): Write & { op: 'insert' } {
  return { op: 'insert', collection, id, value };
}

export function replace<T>(
  collection: CollectionSpec<T>,
  document: Document<T>,
  value: T,
): Write & { op: 'replace' } {
  return { op: 'replace', collection, id: document.id, value, revision: document.revision };
}

export function remove<T>(collection: CollectionSpec<T>, document: Document<T>): Write & { op: 'remove' } {
  return { op: 'remove', collection, id: document.id, revision: document.revision };
}

/** For a batch that is right only as long as this document is as it was found. */
export function check<T>(collection: CollectionSpec<T>, document: Document<T>): Write & { op: 'check' } {
  return { op: 'check', collection, id: document.id, revision: document.revision };
}
