/**
 * A document of which the site has one: every process has its present value at hand, and every change is recorded in
 * the audit trail. The collection is logged, so that the change feed tells the other processes.
 */
import { isDeepStrictEqual } from 'node:util';
import { type AuditRecord, presentAuditRecord } from '../model/audit.js';
import { defined } from '../model/common.js';
import { auditedAll } from './audit.js';
import type { Accepted, Caller } from './caller.js';
import { type CollectionSpec, type Document, insert, replace, type Store } from './store/port.js';
import { retrying, unlessRaced } from './store/retry.js';

/** The only document of its collection. */
const id = 'site';

export function siteCollection<T>(name: string): CollectionSpec<T> {
  return {
    name,
    columns: { scope: 'text' },
    columnsOf: () => ({ scope: null }),
    orders: { id: [] },
    loggedBy: 'scope',
  };
}

export interface Change<T> {
  action: string;
  /** The new value. May read the store; may run more than once. */
  next: (value: T) => T | Promise<T>;
  /** The audit record whose change is undone. */
  reverts?: string;
}

/** A change that was made: the document after it, and the record of it, unless nothing has changed. */
export interface Changed<T> {
  document: Document<T>;
  record?: { id: string; record: AuditRecord };
}

export class SiteDocument<T extends object> {
  readonly #store: Store;
  readonly #collection: CollectionSpec<T>;
  readonly #changed: () => void;
  #present: Document<T>;
  /** Documents that are being written, by their values. */
  readonly #written = new WeakMap<T, Document<T>>();

  /** `changed` is called when this process learns of a new value. */
  constructor(store: Store, collection: CollectionSpec<T>, initial: T, changed: () => void) {
    this.#store = store;
    this.#collection = collection;
    this.#present = { id, revision: 0, value: initial };
    this.#changed = changed;
    // Before anybody else acts on the write.
    store.watch((name, _id, value) => {
      const document = name === collection.name ? this.#written.get(value as T) : undefined;
      if (document !== undefined) this.#take(document);
    });
  }

  /** The type of the resource in the audit trail. */
  get type(): string {
    return this.#collection.name;
  }

  /** As this process knows it: at most a moment older than the store. */
  get present(): Document<T> {
    return this.#present;
  }

  /** Reads it; the first process of a site stores the initial value. */
  async load(): Promise<void> {
    const found = await this.#store.get(this.#collection, id);
    if (found !== undefined) {
      this.#take(found);
      return;
    }
    const first = { ...insert(this.#collection, id, this.#present.value), quiet: true };
    await unlessRaced(this.#store.write([first]));
    return this.load();
  }

  /** As it is in the store. */
  async read(signal?: AbortSignal): Promise<Document<T>> {
    const found = await this.#store.get(this.#collection, id, signal);
    if (found === undefined) throw new Error(`The document of ${this.#collection.name} is missing`);
    this.#take(found);
    return found;
  }

  /** Stores the new value together with its audit record. A change that changes nothing writes nothing. */
  change(caller: Caller, { action, next, reverts }: Change<T>): Promise<Changed<T>> {
    return retrying(async () => {
      const found = await this.read(caller.signal);
      const { revision } = found;
      caller.precondition?.({ revision, wishRevision: revision });
      const value = await next(found.value);
      if (isDeepStrictEqual(value, found.value)) return { document: found };
      const resource = { type: this.type, id };
      const entry = { action, resource, before: found.value, after: value, reverts };
      const audit = await auditedAll(this.#store, caller, [entry]);
      const [record] = audit.records;
      const document = { id, revision: revision + 1, value };
      const changed = { document, ...defined({ record }) };
      const writes = [replace(this.#collection, found, value), ...audit.writes];
      const kept = caller.storeResponse?.(acceptedOf(changed)) ?? [];
      this.#written.set(value, document);
      await this.#store.write([...writes, ...kept], caller.signal);
      return changed;
    });
  }

  /** Reads that overlap may end in any order: an older value never replaces a newer one. */
  #take(document: Document<T>): void {
    if (document.revision <= this.#present.revision) return;
    this.#present = document;
    this.#changed();
  }
}

/** For a request that is answered with the audit record of its change. */
export function acceptedOf({ document, record }: Changed<object>): Accepted {
  if (record === undefined) return { id: document.id };
  return { id: record.id, text: JSON.stringify(presentAuditRecord(record.id, record.record)) };
}
