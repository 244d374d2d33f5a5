/** What a group of batches needs from the store: the versions of its documents and the holders of its unique keys. */
import type { Collection, Db, Filter } from 'mongodb';
import { type AnyCollection, columnField, entryOf, keyField, type StoredDocument } from './documents.js';

/** A document as stored, or as left by an earlier batch of the group. */
export interface Version {
  /** 0 is a tombstone. */
  revision: number;
  stamp: string;
  /** Texts of the unique keys, by name. */
  keys: Readonly<Record<string, string>>;
  scope: string | null;
}

/** A lookup of one id is fast on every engine; a lookup of many is a scan on some. */
const pointLookups = 16;

export class Versions {
  readonly #db: Db;
  readonly #documents = new Map<string, Version>();
  /** Ids by collection, key and text. */
  readonly #holders = new Map<string, string>();
  /** The latest journal entry that wrote any of it. */
  latest = 0;

  constructor(db: Db) {
    this.#db = db;
  }

  get size(): number {
    return this.#documents.size;
  }

  get(collection: AnyCollection, id: string): Version | undefined {
    return this.#documents.get(documentKey(collection, id));
  }

  holder(collection: AnyCollection, key: string, text: string): string | undefined {
    return this.#holders.get(holderKey(collection, key, text));
  }

  async loadDocuments(collection: AnyCollection, ids: readonly string[]): Promise<void> {
    const keys = Object.keys(collection.unique ?? {});
    const projection = {
      revision: 1,
      stamp: 1,
      ...Object.fromEntries(keys.map((key) => [keyField(key), 1])),
      ...(collection.loggedBy === undefined ? {} : { [columnField(collection.loggedBy)]: 1 }),
    };
    for (const document of await this.#find(this.#of(collection), ids, projection)) {
      const version: Version = {
        revision: document.revision,
        stamp: document.stamp,
        keys: Object.fromEntries(keys.map((key) => [key, document[keyField(key)] as string])),
        scope:
          collection.loggedBy === undefined
            ? null
            : ((document[columnField(collection.loggedBy)] ?? null) as string | null),
      };
      this.#documents.set(documentKey(collection, document._id), version);
      this.#saw(document);
    }
  }

  async #find(
    collection: Collection<StoredDocument>,
    ids: readonly string[],
    projection: Record<string, unknown>,
  ): Promise<StoredDocument[]> {
    if (ids.length > pointLookups)
      return collection.find({ _id: { $in: [...ids] } }, { projection, batchSize: ids.length }).toArray();
    const found = await Promise.all(ids.map((_id) => collection.findOne({ _id }, { projection })));
    return found.filter((document) => document !== null);
  }

  async loadHolders(collection: AnyCollection, key: string, texts: readonly string[]): Promise<void> {
    const field = keyField(key);
    const filter = { [field]: texts.length === 1 ? texts[0] : { $in: texts } } as Filter<StoredDocument>;
    const holders = this.#of(collection).find(filter, {
      projection: { [field]: 1, stamp: 1 },
      batchSize: texts.length + 1,
    });
    for (const document of await holders.toArray()) {
      this.#holders.set(holderKey(collection, key, document[field] as string), document._id);
      this.#saw(document);
    }
  }

  /** A copy to try a batch on; `keep` applies it to this one. */
  attempt(): Attempt {
    return new Attempt(this);
  }

  keep(
    documents: ReadonlyMap<string, Version | undefined>,
    holders: ReadonlyMap<string, string | undefined>,
  ): void {
    for (const [key, version] of documents) {
      if (version === undefined) this.#documents.delete(key);
      else this.#documents.set(key, version);
    }
    for (const [key, id] of holders) {
      if (id === undefined) this.#holders.delete(key);
      else this.#holders.set(key, id);
    }
  }

  #of(collection: AnyCollection): Collection<StoredDocument> {
    return this.#db.collection<StoredDocument>(collection.name);
  }

  #saw({ stamp }: StoredDocument): void {
    const entry = entryOf(stamp);
    if (entry > this.latest) this.latest = entry;
  }
}

/** The versions as changed by one batch, separate from the others until it is known to be valid. */
export class Attempt {
  readonly #base: Versions;
  readonly #documents = new Map<string, Version | undefined>();
  readonly #holders = new Map<string, string | undefined>();

  constructor(base: Versions) {
    this.#base = base;
  }

  get(collection: AnyCollection, id: string): Version | undefined {
    const key = documentKey(collection, id);
    return this.#documents.has(key) ? this.#documents.get(key) : this.#base.get(collection, id);
  }

  holder(collection: AnyCollection, key: string, text: string): string | undefined {
    const at = holderKey(collection, key, text);
    return this.#holders.has(at) ? this.#holders.get(at) : this.#base.holder(collection, key, text);
  }

  /** Replaces the previous version and its keys; undefined for none. */
  set(collection: AnyCollection, id: string, version: Version | undefined): void {
    for (const [key, text] of Object.entries(this.get(collection, id)?.keys ?? {}))
      this.#holders.set(holderKey(collection, key, text), undefined);
    for (const [key, text] of Object.entries(version?.keys ?? {}))
      this.#holders.set(holderKey(collection, key, text), id);
    this.#documents.set(documentKey(collection, id), version);
  }

  keep(): void {
    this.#base.keep(this.#documents, this.#holders);
  }
}

const documentKey = ({ name }: AnyCollection, id: string): string => `${name}\u0000${id}`;

const holderKey = ({ name }: AnyCollection, key: string, text: string): string =>
  `${name}\u0000${key}\u0000${text}`;
