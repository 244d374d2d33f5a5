/**
 * The Store port: collections of documents, small enough that two engines can be proven equal.
 *
 * A document has an id, a revision that grows by one with each replace, a value (JSON), and the columns that its
 * collection derives from the value. Beside the value lies its ready public JSON text, because joining stored texts
 * costs a tenth of reading, parsing and serialising rows.
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
  /** Keys of which no two documents may have the same; a document with a null in a key stands outside it. */
  readonly unique?: Readonly<Record<string, readonly string[]>>;
  /** Orders that pages may take, each a list of columns (never null); the id is always added as the last. */
  readonly orders: Readonly<Record<string, readonly string[]>>;
  /** Extra indexes, as equality columns followed by the columns of an order. */
  readonly indexes?: readonly (readonly string[])[];
  /**
   * Orders that are only taken together with a filter: an entry of `indexes`, filter columns first, serves them, and they
   * get no index of their own.
   */
  readonly filteredOrders?: readonly string[];
  /** Writes go into the durable change log, each with the value of this column, by which readers are told apart. */
  readonly loggedBy?: string;
}

export interface Query {
  /** Column equals the value, which may be null, or one of the values, of which none is: engines reject a null there. */
  filter?: Readonly<Record<string, Scalar | readonly (string | number)[]>>;
  /** Set column contains all of the texts. */
  has?: Readonly<Record<string, readonly string[]>>;
  /** A plain column, or `id`, lies in this span: from the first value on, and before the second. */
  span?: { readonly column: string; readonly from?: string | number; readonly before?: string | number };
  /** Name of a declared order. */
  order: string;
}

export interface PageQuery extends Query {
  /** Values of the order's columns and then the id: the page begins behind it. */
  after?: readonly Scalar[];
  /** The page begins with the row at `after`, if it exists, instead of behind it. */
  inclusive?: boolean;
  limit: number;
  descending?: boolean;
}

/** A page query for texts. `reversed` turns the rows of the page round once they are found. */
export interface TextQuery extends PageQuery {
  reversed?: boolean;
}

/** A page of a list, before its resource adds what the caller may see and what is asked for. */
export type ListPage = Omit<TextQuery, 'filter' | 'has' | 'span'>;

/** A page as stored texts, joined where they lie: no row of it becomes an object. */
export interface TextPage {
  /** The public texts as one JSON array, in UTF-8. */
  body: Buffer;
  /** Whether more rows follow. */
  more: boolean;
  /** Position of the last row, if the page is full: values of the order's columns, and the id. */
  last?: Scalar[];
}

/** What a list answers of which the caller may see nothing. */
export const emptyPage: TextPage = { body: Buffer.from('[]'), more: false };

/** A document as its readers get it, with the column that decides who they may be. */
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
      /** The revision to begin with, for copies of documents; 1 without it. */
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
      /** The revision stays, and with it every ETag: for migrations that only derive columns and texts anew. */
      keepRevision?: boolean;
      /** What the change log calls it, where it is more than an update to those who read the log. */
      loggedAs?: 'expire';
    }
  | {
      op: 'remove';
      collection: CollectionSpec<never>;
      id: string;
      revision: number;
      /** Not for the change log, as above. */
      quiet?: boolean;
    };

/** One write to a logged collection. */
export interface Change {
  /** Grows along the log. Whoever has read up to a position finds everything later behind it, and nothing before it. */
  position: number;
  /** RFC 3339, UTC. */
  time: string;
  collection: string;
  id: string;
  op: Write['op'] | 'expire';
  /** The revision that the write made; of a removed document its last. */
  revision: number;
  /** Value of the collection's `loggedBy` column. */
  scope: string | null;
  /** The public text after the write; null when the document was removed. */
  text: string | null;
}

export interface ChangeQuery {
  /** Only changes behind this position. */
  after: number;
  /** Only changes of these scopes. */
  scopes?: readonly string[];
  limit: number;
}

export interface ChangePage {
  changes: Change[];
  /** Where to read on, also when the scopes left nothing to tell. */
  next: number;
}

/** A write that lost: somebody was faster (`revision`), or a unique key is taken (`unique`). Nothing of its batch is stored. */
export class StoreConflict extends Error {
  override readonly name = 'StoreConflict';
  readonly kind: 'revision' | 'unique';
  readonly collection: string;
  /** Of `revision` the document's id. Of `unique` the first key that is taken: `id`, then the names as they are declared. */
  readonly key: string;

  constructor(kind: 'revision' | 'unique', collection: string, key: string) {
    super(`${kind} conflict in ${collection}: ${key}`);
    this.kind = kind;
    this.collection = collection;
    this.key = key;
  }
}

/** Hears what was written: the value, which is undefined when the document was removed. */
export type WriteListener = (collection: string, id: string, value: unknown) => void;

/** Every method that takes a signal rejects with its reason when it has aborted; a write that has begun ends. */
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
  /** The texts of a page; `reversed` is for pages that are walked to backwards. */
  pageTexts(collection: CollectionSpec<never>, query: TextQuery, signal?: Interruption): Promise<TextPage>;
  count(
    collection: CollectionSpec<never>,
    query: Omit<Query, 'order'>,
    signal?: Interruption,
  ): Promise<number>;
  /** All of the writes or none; rejects with StoreConflict. When it resolves, the writes survive a crash. */
  write(writes: readonly Write[], signal?: Interruption): Promise<void>;
  /**
   * Changes the first matches of the query, each atomically and once, though it may still match. Fewer than the limit: there
   * were no more. `change` may run more than once.
   */
  claim<T>(
    collection: CollectionSpec<T>,
    query: PageQuery,
    change: (document: Document<T>) => T,
  ): Promise<Document<T>[]>;
  /** Tells of written documents as they happen in this process. A hint to look again, not a log. */
  watch(listener: WriteListener): () => void;
  /**
   * The durable log of writes to logged collections, of all processes, oldest first. Written in the batch of the write
   * itself, so that neither exists without the other.
   */
  changes(query: ChangeQuery, signal?: Interruption): Promise<ChangePage>;
  /**
   * The first position that is still in the log and the last that was ever used: 0 and 0 when it was never written, and
   * the first behind the last when all is trimmed.
   */
  changeRange(): Promise<{ first: number; last: number }>;
  /**
   * For those who ask often: the last position that was ever used, and a number that changes when another process has
   * written since the last time.
   */
  lastChange(): Promise<{ position: number; others: number }>;
  /** Drops changes from before this time (RFC 3339, UTC) from the log; tells how many. Positions are never used again. */
  trimChanges(before: string): Promise<number>;
  /**
   * Changes when another process may have written. Together with `watch` it tells a cache when what it holds is void, at
   * the cost of a microsecond for each request instead of a read.
   */
  epoch(): number;
  /** Gives back space that is no longer used, a little at a time. An engine that does so by itself has none. */
  tidy?(): Promise<void>;
  close(): Promise<void>;
}

/** The values that a filter asks for, when it asks for one of several. */
export function listed(wanted: unknown): readonly (string | number)[] | undefined {
  if (!Array.isArray(wanted)) return undefined;
  if (wanted.includes(null)) throw new Error('A list of filter values contains null');
  return wanted as (string | number)[];
}

/** Reads one document of a store that may be of another program, before it is opened. */
export type ReadDocument = <T>(collection: CollectionSpec<T>, id: string) => Promise<Document<T> | undefined>;

/** The index of every order that has one of its own, and the extra ones: columns, before the id. */
export function indexesOf({ orders, indexes, filteredOrders }: CollectionSpec<never>): (readonly string[])[] {
  const own = Object.entries(orders).filter(([name]) => !(filteredOrders ?? []).includes(name));
  return [...own.map(([, fields]) => fields), ...(indexes ?? [])].filter((fields) => fields.length > 0);
}

/** What a write leaves; undefined when it removes the document. */
export function valueOf(write: Write): unknown {
  return write.op === 'remove' ? undefined : write.value;
}

/** Helpers that keep the value's type next to the collection's. */
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
