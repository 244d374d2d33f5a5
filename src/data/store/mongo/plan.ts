/**
 * Determines which batches of a group can be applied one after the other, and builds the journal entry that stores
 * them.
 */
import type { Interruption } from '../../../model/interruption.js';
import { type Change, StoreConflict, type Write } from '../port.js';
import {
  type AnyCollection,
  fieldsOf,
  keyField,
  outsideKey,
  placeFor,
  type StoredDocument,
} from './documents.js';
import type { Head, LoggedStep, Step } from './entry.js';
import type { Attempt, Version, Versions } from './versions.js';

/** A write with everything derived from its value. */
export interface PreparedWrite {
  /** `clear` removes a tombstone. */
  op: Write['op'] | 'clear';
  collection: AnyCollection;
  id: string;
  /** The expected revision; 0 for an insert. */
  revision: number;
  /** The resulting revision. */
  next: number;
  /** For a `clear`: the stamp of the tombstone. */
  stamp?: string;
  fields?: Omit<StoredDocument, 'revision' | 'stamp'>;
  quiet: boolean;
  /** Its operation in the change log; `op` by default. */
  loggedAs?: Change['op'];
}

export interface Batch {
  writes: readonly PreparedWrite[];
  signal: Interruption | undefined;
  /** Approximate size of its texts in bytes. */
  size: number;
}

export interface Plan<B extends Batch> {
  fitting: B[];
  refused: { batch: B; error: unknown }[];
  steps: Step[];
  changes: LoggedStep[];
  /** False if what was read is newer than the head, so that the plan is invalid. */
  current: boolean;
  /** The versions it is based on; after the plan is stored, the resulting ones. */
  versions: Versions;
}

export function prepare(write: Write): PreparedWrite {
  const { op, collection, id } = write;
  if (op === 'check') return { op, collection, id, revision: write.revision, next: 0, quiet: true };
  const quiet = write.quiet === true;
  if (op === 'remove') return { op, collection, id, revision: write.revision, next: 0, quiet };
  const fields = fieldsOf(collection, id, write.value);
  if (op === 'insert') return { op, collection, id, revision: 0, next: write.revision ?? 1, fields, quiet };
  const next = write.keepRevision === true ? write.revision : write.revision + 1;
  const { revision, loggedAs = op } = write;
  return { op, collection, id, revision, next, fields, quiet, loggedAs };
}

/**
 * Plans the group as the successor of the head. `versions` are the versions known as of the head; the plan updates
 * them. Within a transaction, removed documents leave no tombstone.
 */
export async function planOf<B extends Batch>(
  versions: Versions,
  head: Head,
  group: readonly B[],
  transactional: boolean,
): Promise<Plan<B>> {
  await load(versions, group);
  const planner = new Planner(versions, head.number + 1, transactional);
  const plan: Plan<B> = {
    fitting: [],
    refused: [],
    steps: planner.steps,
    changes: planner.changes,
    current: versions.latest <= head.number,
    versions,
  };
  if (!plan.current) return plan;
  for (const batch of group) {
    try {
      batch.signal?.throwIfAborted();
      planner.add(batch.writes);
      plan.fitting.push(batch);
    } catch (error) {
      plan.refused.push({ batch, error });
    }
  }
  return plan;
}

async function load(versions: Versions, group: readonly Batch[]): Promise<void> {
  const byCollection = new Map<AnyCollection, PreparedWrite[]>();
  for (const write of group.flatMap(({ writes }) => writes)) {
    const known = byCollection.get(write.collection);
    if (known === undefined) byCollection.set(write.collection, [write]);
    else known.push(write);
  }
  await Promise.all(
    [...byCollection].map(async ([collection, writes]) => {
      const unknown = writes.filter(({ id }) => versions.get(collection, id) === undefined);
      const ids = new Set(unknown.map(({ id }) => id));
      if (ids.size > 0) await versions.loadDocuments(collection, [...ids]);
      await Promise.all(
        Object.keys(collection.unique ?? {}).map(async (key) => {
          const texts = new Set(writes.flatMap((write) => newKey(versions, write, key)));
          if (texts.size > 0) await versions.loadHolders(collection, key, [...texts]);
        }),
      );
    }),
  );
}

/**
 * The text of a key that the write takes and its document does not have yet; no other document can hold a document's
 * current key.
 */
function newKey(versions: Versions, { collection, id, fields }: PreparedWrite, key: string): string[] {
  const text = fields?.[keyField(key)] as string | undefined;
  if (text === undefined || text === outsideKey(id)) return [];
  return versions.get(collection, id)?.keys[key] === text ? [] : [text];
}

class Planner {
  readonly steps: Step[] = [];
  readonly changes: LoggedStep[] = [];
  readonly #versions: Versions;
  readonly #entry: number;
  readonly #transactional: boolean;

  constructor(versions: Versions, entry: number, transactional: boolean) {
    this.#versions = versions;
    this.#entry = entry;
    this.#transactional = transactional;
  }

  /** Adds the whole batch, or throws StoreConflict and adds nothing. */
  add(writes: readonly PreparedWrite[]): void {
    const attempt = this.#versions.attempt();
    const before = { steps: this.steps.length, changes: this.changes.length };
    try {
      for (const write of writes) this.#write(attempt, write);
      attempt.keep();
    } catch (error) {
      this.steps.length = before.steps;
      this.changes.length = before.changes;
      throw error;
    }
  }

  #write(attempt: Attempt, write: PreparedWrite): void {
    const { op, collection, id } = write;
    const found = attempt.get(collection, id);
    if (op === 'clear') {
      if (found?.revision === 0 && found.stamp === write.stamp) this.#vacate(attempt, write, found);
      return;
    }
    const revision = found?.revision ?? 0;
    if (revision !== write.revision) {
      throw op === 'insert'
        ? new StoreConflict('unique', collection.name, 'id')
        : new StoreConflict('revision', collection.name, id);
    }
    if (op === 'check') return;
    if (op === 'remove') {
      if (found === undefined || revision === 0) throw new StoreConflict('revision', collection.name, id);
      this.#vacate(attempt, write, found);
      this.#log(write, revision, found.scope);
      return;
    }
    this.#put(attempt, write, found);
  }

  /**
   * Removes the document. Without a transaction a tombstone stays for a while, so that a process that applies the
   * insert late finds the id taken, and does not bring the document back.
   */
  #vacate(attempt: Attempt, { op, collection, id }: PreparedWrite, found: Version): void {
    const stamp = this.#stamp();
    const gone = this.#transactional || op === 'clear';
    this.steps.push({
      collection: collection.name,
      id,
      from: found.stamp,
      to: gone ? null : placeFor(collection, id, stamp),
    });
    const keys = Object.fromEntries(Object.keys(collection.unique ?? {}).map((key) => [key, outsideKey(id)]));
    attempt.set(collection, id, gone ? undefined : { revision: 0, stamp, keys, scope: null });
  }

  #put(attempt: Attempt, write: PreparedWrite, found: Version | undefined): void {
    const { collection, id, fields } = write;
    if (fields === undefined) throw new Error('A write without a document');
    const keys = this.#takeKeys(attempt, write);
    const stamp = this.#stamp();
    const revision = write.next;
    this.steps.push({
      collection: collection.name,
      id,
      from: found?.stamp ?? null,
      to: { ...(fields as { _id: string }), revision, stamp },
    });
    const { loggedBy } = collection;
    const scope = loggedBy === undefined ? null : ((fields[`c_${loggedBy}`] ?? null) as string | null);
    attempt.set(collection, id, { revision, stamp, keys, scope });
    this.#log(write, revision, scope);
  }

  #takeKeys(attempt: Attempt, { collection, id, fields }: PreparedWrite): Record<string, string> {
    const keys: Record<string, string> = {};
    for (const key of Object.keys(collection.unique ?? {})) {
      const text = fields?.[keyField(key)] as string;
      const holder = attempt.holder(collection, key, text);
      if (holder !== undefined && holder !== id) throw new StoreConflict('unique', collection.name, key);
      keys[key] = text;
    }
    return keys;
  }

  #log(write: PreparedWrite, revision: number, scope: string | null): void {
    const { op, collection, quiet, loggedAs } = write;
    if (collection.loggedBy === undefined || quiet || op === 'clear' || op === 'check') return;
    this.changes.push({ step: this.steps.length - 1, op: loggedAs ?? op, revision, scope });
  }

  /** Of the next step. */
  #stamp(): string {
    return `${this.#entry}.${this.steps.length}`;
  }
}
