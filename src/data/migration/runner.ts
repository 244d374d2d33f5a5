/** Runs migrations in order, each once, by one process at a time. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../model/log.js';
import { LeaseWatch } from '../lease.js';
import { isDeadOwner } from '../owner.js';
import {
  type CollectionSpec,
  type Document,
  insert,
  type ReadDocument,
  replace,
  type Store,
  StoreConflict,
  type Write,
} from '../store/port.js';
import { splitIntoBatches } from '../store/batches.js';
import { unlessRaced } from '../store/retry.js';
import type { Migration, MigrationWork } from './migration.js';
import { type Progress, schema, schemaId, type SchemaRecord } from './schema.js';

/** Documents rewritten in one write. */
const pageSize = 200;
/** Milliseconds without a page, as measured by the waiting process, after which the holder counts as lost. */
const leaseTime = 30_000;
/** Milliseconds between two checks by waiting processes. */
const poll = 100;
/** Milliseconds between two lines of progress. */
const telling = 2000;

/** This version cannot work on this store; the message says why and what to do. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError';
}

/** Another process has taken the lease over. */
class LeaseTaken extends Error {
  override readonly name = 'LeaseTaken';
}

export interface MigrateOptions {
  /** Names this process. */
  owner: string;
  log: Log;
  /** Collections of a store without a schema document: in a store that was used, one of these is never empty. */
  used: readonly CollectionSpec<never>[];
  /** Milliseconds; for tests. */
  lease?: number;
}

/**
 * Brings the store to the schema of the last migration, or waits until another process has. Rejects with SchemaError if
 * the store has a newer schema, without having changed anything.
 */
export async function migrate(
  store: Store,
  migrations: readonly Migration[],
  options: MigrateOptions,
): Promise<void> {
  const target = migrations.at(-1)?.version ?? 1;
  const watch = new LeaseWatch();
  const { lease: leaseMs = leaseTime } = options;
  let waiting = false;
  for (;;) {
    const found = await schemaOf(store, target, options.used);
    const { version, lease, copyOf } = found.value;
    assertKnown(version, target);
    if (copyOf !== undefined) {
      throw new SchemaError(
        'The store is an unfinished copy of another one. Run "copse store copy" again; it resumes where it stopped.',
      );
    }
    if (version === target) return;
    const next = migrations.find((migration) => migration.version === version + 1);
    if (next === undefined) {
      throw new SchemaError(`The store has schema ${version}, which this version cannot migrate from.`);
    }
    // Every page of the holder changes the revision. Its `until` is by its own clock, which may be hours off this one.
    const silent = watch.silent(schemaId, `${found.revision}`, leaseMs, performance.now());
    if (lease !== undefined && !silent && !isDeadOwner(lease.owner)) {
      if (!waiting)
        options.log.info({ owner: lease.owner }, 'waiting for another process to migrate the store');
      waiting = true;
      await sleep(poll);
      continue;
    }
    await new Run(store, found, options).carryOut(next);
  }
}

/** Rejects with SchemaError if a newer version wrote the store. */
export async function refuseNewer(read: ReadDocument, target: number): Promise<void> {
  const found = await read(schema, schemaId);
  if (found !== undefined) assertKnown(found.value.version, target);
}

function assertKnown(version: number, target: number): void {
  if (version <= target) return;
  throw new SchemaError(
    `The store has schema ${version}; this version supports ${target}. Nothing was changed. Use the newer version that wrote it.`,
  );
}

/** The schema document. A store without one is empty, and gets the newest schema, or has schema 1. */
async function schemaOf(
  store: Store,
  target: number,
  used: readonly CollectionSpec<never>[],
): Promise<Document<SchemaRecord>> {
  for (;;) {
    const found = await store.get(schema, schemaId);
    if (found !== undefined) return found;
    const counts = await Promise.all(used.map((collection) => store.count(collection, {})));
    const version = counts.some((count) => count > 0) ? 1 : target;
    // The first process decides: nothing else is written before this document exists.
    await unlessRaced(store.write([insert(schema, schemaId, { version })]));
  }
}

/** One process's run of one migration. Each of its writes also writes the schema document, whose revision is the fence. */
class Run implements MigrationWork {
  readonly #store: Store;
  readonly #options: MigrateOptions;
  #schema: Document<SchemaRecord>;
  /** Number of rewrites reached by this run. */
  #reached = 0;
  #name = '';

  constructor(store: Store, found: Document<SchemaRecord>, options: MigrateOptions) {
    this.#store = store;
    this.#schema = found;
    this.#options = options;
  }

  async carryOut(migration: Migration): Promise<void> {
    const { log } = this.#options;
    this.#name = `${migration.version}-${migration.name}`;
    try {
      await this.#advance(this.#schema.value.progress ?? { done: 0 }, []);
      log.info({ migration: this.#name, ...this.#schema.value.progress }, 'migrating the store');
      await migration.run(this);
      await this.#store.write([replace(schema, this.#schema, { version: migration.version })]);
      log.info({ migration: this.#name }, 'migrated the store');
    } catch (error) {
      // The process that took over continues; the caller checks again.
      if (error instanceof LeaseTaken || isSchemaConflict(error)) return;
      throw error;
    }
  }

  async rewrite<T>(collection: CollectionSpec<T>, change: (value: T) => T = (value) => value): Promise<void> {
    const number = this.#reached;
    this.#reached += 1;
    const progress = this.#schema.value.progress ?? { done: 0 };
    if (number < progress.done) return;
    const total = await this.#store.count(collection, {});
    let rewritten = 0;
    let told = Date.now();
    for (let after = progress.after; ;) {
      const page = await this.#store.page(collection, {
        order: 'id',
        limit: pageSize,
        ...(after === undefined ? {} : { after: [after] }),
      });
      const last = page.at(-1);
      if (last === undefined) break;
      const writes = page.map((document) => rewriteOf(collection, document, change(document.value)));
      for (const batch of splitIntoBatches(writes)) {
        const upTo = batch.at(-1)?.id ?? last.id;
        // Of two processes that read the same page, only one writes it. A document that was changed concurrently, which
        // only a version without this lease can do, is read again.
        if (!(await this.#unlessChanged(() => this.#advance({ done: number, after: upTo }, batch)))) break;
        after = upTo;
        rewritten += batch.length;
      }
      if (Date.now() - told > telling) {
        told = Date.now();
        this.#options.log.info(
          { migration: this.#name, collection: collection.name, rewritten, total },
          'migrating',
        );
      }
    }
    await this.#advance({ done: number + 1 }, []);
  }

  async #unlessChanged(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (error instanceof StoreConflict && error.kind === 'revision' && !isSchemaConflict(error))
        return false;
      throw error;
    }
  }

  /** Stores the progress together with the writes that made it, and keeps the lease. */
  async #advance(progress: Progress, writes: readonly Write[]): Promise<void> {
    const { owner, lease = leaseTime } = this.#options;
    const value = { ...this.#schema.value, lease: { owner, until: Date.now() + lease }, progress };
    try {
      await this.#store.write([replace(schema, this.#schema, value), ...writes]);
    } catch (error) {
      throw isSchemaConflict(error)
        ? new LeaseTaken('another process is migrating', { cause: error })
        : error;
    }
    this.#schema = { id: schemaId, revision: this.#schema.revision + 1, value };
  }
}

function isSchemaConflict(error: unknown): boolean {
  return error instanceof StoreConflict && error.collection === schema.name;
}

function rewriteOf<T>(collection: CollectionSpec<T>, document: Document<T>, value: T): Write {
  const same = JSON.stringify(value) === JSON.stringify(document.value);
  return { ...replace(collection, document, value), quiet: same, keepRevision: same };
}
