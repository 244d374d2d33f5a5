/**
 * Copies a store into another one, of any engine: every document with its id, revision and value. The change log is not
 * copied; the event ids of the target continue where those of the source end, so that a reader that knows all of them
 * misses nothing, and any other one learns that the events it lacks are gone.
 */
import { createHash } from 'node:crypto';
import { schema, schemaId, type SchemaRecord } from './migration/schema.js';
import { secrets } from './secret.js';
import { eventBaseId, eventBases } from './store/event-base.js';
import {
  type CollectionSpec,
  type Document,
  insert,
  remove,
  replace,
  type Store,
  type Write,
} from './store/port.js';
import { splitIntoBatches } from './store/batches.js';

const pageSize = 500;

/** The copy cannot be started; the message says why. */
export class CopyRefused extends Error {
  override readonly name = 'CopyRefused';
}

/** What one side contains of a collection. */
export interface Contents {
  count: number;
  /** SHA-256 over id, revision and value of every document, in id order. */
  digest: string;
}

export interface Compared {
  collection: string;
  from: Contents;
  to: Contents;
}

/** Called with the number of processed documents of a collection. */
export type CopyProgress = (step: 'copy' | 'verify', collection: string, done: number, total: number) => void;

/**
 * Copies and compares. When run again after an interruption, it writes only what is missing or different. The target
 * counts as unfinished, and no server starts on it, until both sides are equal. Rejects with CopyRefused.
 */
export async function copyStore(
  from: Store,
  to: Store,
  collections: readonly CollectionSpec<never>[],
  progress: CopyProgress,
): Promise<Compared[]> {
  const copied = collections.filter(({ name }) => name !== schema.name) as CollectionSpec<unknown>[];
  const source = await from.get(schema, schemaId);
  if (source === undefined) throw new CopyRefused('The source is empty.');
  const begun = await begin(to, copied, source.value.version, await identityOf(from));
  if (begun.value.copyOf !== undefined) {
    for (const collection of copied) await copyCollection(from, to, collection, progress);
  }
  const compared: Compared[] = [];
  for (const collection of copied) {
    const { name } = collection;
    const total = 2 * (await from.count(collection, {}));
    let looked = 0;
    const tell = () => {
      looked += 1;
      progress('verify', name, looked, total);
    };
    compared.push({
      collection: name,
      from: await contentsOf(from, collection, tell),
      to: await contentsOf(to, collection, tell),
    });
  }
  const equal = compared.every((one) => isEqual(one));
  if (equal && begun.value.copyOf !== undefined)
    await to.write([replace(schema, begun, { version: source.value.version }), await eventBaseOf(from, to)]);
  return compared;
}

/** Makes the target's event ids continue where the source's end. */
async function eventBaseOf(from: Store, to: Store): Promise<Write> {
  const source = await from.get(eventBases, eventBaseId);
  const value = { base: (source?.value.base ?? 0) + (await from.lastChange()).position };
  const there = await to.get(eventBases, eventBaseId);
  return there === undefined ? insert(eventBases, eventBaseId, value) : replace(eventBases, there, value);
}

export function isEqual({ from, to }: Compared): boolean {
  return from.count === to.count && from.digest === to.digest;
}

/** Each store has its own secrets: two stores with the same secrets are copies of each other. */
async function identityOf(store: Store): Promise<string> {
  return (await contentsOf(store, secrets, () => undefined)).digest;
}

/** The target's schema document, which marks it as an unfinished or a finished copy. */
async function begin(
  to: Store,
  collections: readonly CollectionSpec<unknown>[],
  version: number,
  identity: string,
): Promise<Document<SchemaRecord>> {
  const found = await to.get(schema, schemaId);
  if (found?.value.copyOf === identity) return found;
  if (found?.value.copyOf !== undefined)
    throw new CopyRefused(
      'The target is an unfinished copy of another store. Empty it, or choose another one.',
    );
  const counts = await Promise.all(
    collections.map((collection) => to.count(collection as CollectionSpec<never>, {})),
  );
  if (counts.some((count) => count > 0)) {
    if (found?.value.version === version && (await identityOf(to)) === identity) return found;
    throw new CopyRefused('The target has other data. Empty it, or choose another one.');
  }
  const value = { version, copyOf: identity };
  await to.write([found === undefined ? insert(schema, schemaId, value) : replace(schema, found, value)]);
  const begun = await to.get(schema, schemaId);
  if (begun === undefined) throw new Error('the target has lost its schema document');
  return begun;
}

async function* documentsOf<T>(store: Store, collection: CollectionSpec<T>): AsyncGenerator<Document<T>> {
  for (let after: string | undefined; ;) {
    const page = await store.page(collection, {
      order: 'id',
      limit: pageSize,
      ...(after === undefined ? {} : { after: [after] }),
    });
    yield* page;
    after = page.at(-1)?.id;
    if (after === undefined || page.length < pageSize) return;
  }
}

/** Makes the target equal to the source. */
async function copyCollection(
  from: Store,
  to: Store,
  collection: CollectionSpec<unknown>,
  progress: CopyProgress,
): Promise<void> {
  const total = await from.count(collection, {});
  const writer = new PagedWriter(to);
  // Removals come first: additions may need their unique keys.
  if ((await to.count(collection, {})) > 0) {
    for await (const { source, target } of pairsOf(from, to, collection)) {
      if (target === undefined || (source !== undefined && textOf(source) === textOf(target))) continue;
      await writer.add({ ...remove(collection, target), quiet: true });
    }
    await writer.flush();
  }
  let done = 0;
  for await (const { source, target } of pairsOf(from, to, collection)) {
    if (source === undefined) continue;
    if (target === undefined) await writer.add(copyOf(collection, source));
    done += 1;
    progress('copy', collection.name, done, total);
  }
  await writer.flush();
}

/** Writes one page at a time. */
class PagedWriter {
  readonly #store: Store;
  #writes: Write[] = [];

  constructor(store: Store) {
    this.#store = store;
  }

  async add(write: Write): Promise<void> {
    this.#writes.push(write);
    if (this.#writes.length === pageSize) await this.flush();
  }

  async flush(): Promise<void> {
    const writes = this.#writes;
    this.#writes = [];
    for (const batch of splitIntoBatches(writes)) await this.#store.write(batch);
  }
}

/** Walks both sides in id order. */
async function* pairsOf<T>(
  from: Store,
  to: Store,
  collection: CollectionSpec<T>,
): AsyncGenerator<{ source?: Document<T>; target?: Document<T> }> {
  const there = documentsOf(to, collection);
  let other = await there.next();
  for await (const source of documentsOf(from, collection)) {
    for (; other.done !== true && comesBefore(other.value.id, source.id); other = await there.next())
      yield { target: other.value };
    if (other.done === true || other.value.id !== source.id) {
      yield { source };
      continue;
    }
    yield { source, target: other.value };
    other = await there.next();
  }
  for (; other.done !== true; other = await there.next()) yield { target: other.value };
}

/** The order in which stores compare texts: by code point, which is the order of UTF-8 bytes. */
function comesBefore(one: string, other: string): boolean {
  return Buffer.compare(Buffer.from(one), Buffer.from(other)) < 0;
}

function copyOf(collection: CollectionSpec<unknown>, { id, revision, value }: Document<unknown>): Write {
  return { ...insert(collection, id, value), revision, quiet: true };
}

async function contentsOf<T>(
  store: Store,
  collection: CollectionSpec<T>,
  each: () => void,
): Promise<Contents> {
  const hash = createHash('sha256');
  let count = 0;
  for await (const document of documentsOf(store, collection)) {
    hash.update(`${textOf(document)}\n`);
    count += 1;
    each();
  }
  return { count, digest: hash.digest('hex') };
}

/** A document as one text that does not depend on the order in which an engine stores members. */
function textOf({ id, revision, value }: Document<unknown>): string {
  return JSON.stringify([id, revision, value], (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
