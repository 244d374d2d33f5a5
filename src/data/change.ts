/**
 * The changes that most resources have: a document is added, modified or removed, together with the record of it in the
 * audit trail and the stored response.
 */
import { isDeepStrictEqual } from 'node:util';
import { uuidv7 } from 'uuidv7';
import { timestamp } from '../model/common.js';
import { ApiError, notFound } from '../model/error.js';
import { type AuditEntry, auditedAll } from './audit.js';
import type { Accepted, Caller } from './caller.js';
import {
  type CollectionSpec,
  type Document,
  insert,
  remove,
  replace,
  type Store,
  StoreConflict,
  type Write,
} from './store/port.js';
import { retrying } from './store/retry.js';

/** What a lost race for the name means to the client; any other failure unchanged. */
function nameTaken(error: unknown, message: string, pointer: string): unknown {
  if (!(error instanceof StoreConflict) || error.kind !== 'unique' || error.key !== 'name') return error;
  return new ApiError('name_taken', message, {
    cause: error,
    errors: [{ pointer, message }],
  });
}

/** The change, which may fail because another document has the name. */
export async function withName<R>(
  change: Promise<R>,
  message: string,
  pointer = '/metadata/name',
): Promise<R> {
  try {
    return await change;
  } catch (error) {
    throw nameTaken(error, message, pointer);
  }
}

/** A collection whose changes superusers can trace. */
export interface AuditedCollection<T> extends CollectionSpec<T> {
  /** The type of the resource in the audit trail, such as `user`. Actions are `user.create` and so on. */
  readonly auditedAs: string;
}

type AuditedState = Pick<AuditEntry, 'before' | 'after'>;

const textOf = <T>(collection: CollectionSpec<T>, id: string, value: T) =>
  JSON.stringify(collection.present?.(id, value));

/** The writes that record what is done to a document. */
async function recorded<T>(
  store: Store,
  { auditedAs: type }: AuditedCollection<T>,
  caller: Caller,
  id: string,
  verb: string,
  { before, after }: AuditedState,
): Promise<Write[]> {
  const entry = { action: `${type}.${verb}`, resource: { type, id }, before, after };
  return (await auditedAll(store, caller, [entry])).writes;
}

/** Adds a document; `others` go with it in one step. */
export function added<T>(
  store: Store,
  collection: AuditedCollection<T>,
  caller: Caller,
  value: T,
  others: (id: string) => readonly Write[] = () => [],
): Promise<Accepted> {
  const id = uuidv7();
  const accepted = { id, text: textOf(collection, id, value), revision: 1 };
  const inserts = [insert(collection, id, value), ...others(id)];
  return retrying(async () => {
    const audit = await recorded(store, collection, caller, id, 'create', { before: null, after: value });
    await store.write([...inserts, ...audit, ...(caller.storeResponse?.(accepted) ?? [])], caller.signal);
    return accepted;
  });
}

/** What shows who changed it last. */
export interface Changeable {
  modifiedTime?: string;
  modifiedBy?: string;
}

/**
 * Modifies a document. What changes nothing is not written. `change` may run more than once. `entryOf`: what the audit
 * trail says, if that is not `update` with the whole document before and after.
 */
export function modified<T extends Changeable>(
  store: Store,
  collection: AuditedCollection<T>,
  caller: Caller,
  id: string,
  change: (value: T) => T,
  entryOf: (before: T, after: T) => AuditEntry = (before, after) => ({
    action: `${collection.auditedAs}.update`,
    resource: { type: collection.auditedAs, id },
    before,
    after,
  }),
): Promise<Accepted> {
  return retrying(async () => {
    const found = await existing(store, collection, caller, id);
    const { value, revision } = found;
    const changed = change(value);
    if (isDeepStrictEqual(changed, value)) {
      const same = { id, text: textOf(collection, id, value), revision };
      caller.storeResponse?.(same);
      return same;
    }
    const next = { ...changed, modifiedTime: timestamp(), modifiedBy: caller.principal.name };
    const accepted = { id, text: textOf(collection, id, next), revision: revision + 1 };
    const audit = await auditedAll(store, caller, [entryOf(value, next)]);
    const writes = [replace(collection, found, next), ...audit.writes];
    await store.write([...writes, ...(caller.storeResponse?.(accepted) ?? [])], caller.signal);
    return accepted;
  });
}

/** Removes a document; `others` go with it in one step. */
export function removed<T>(
  store: Store,
  collection: AuditedCollection<T>,
  caller: Caller,
  id: string,
  others: (found: Document<T>) => Promise<readonly Write[]> = () => Promise.resolve([]),
): Promise<void> {
  return retrying(async () => {
    const found = await existing(store, collection, caller, id);
    const state = { before: found.value, after: null };
    const audit = await recorded(store, collection, caller, id, 'delete', state);
    const writes = [remove(collection, found), ...(await others(found)), ...audit];
    await store.write(writes, caller.signal);
  });
}

/** The document, in the state that the client requires. Absent: `not_found`. */
async function existing<T>(
  store: Store,
  collection: CollectionSpec<T>,
  caller: Caller,
  id: string,
): Promise<Document<T>> {
  const found = await store.get(collection, id, caller.signal);
  if (found === undefined) throw notFound();
  caller.precondition?.({ revision: found.revision, wishRevision: found.revision });
  return found;
}
