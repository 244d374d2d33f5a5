/**
 * The audit trail of the site: one chain, in which each record contains the hash of the one before. A record is stored
 * in the same batch as the change that it describes; the head of the chain is a document in that batch too, so that
 * concurrent writers, of any process, cannot fork the chain: the slower one conflicts, and tries again.
 */
import { hash as sha256 } from 'node:crypto';
import { uuidv7 } from 'uuidv7';
import { type AuditRecord, presentAuditRecord, redacted } from '../model/audit.js';
import { defined, firstIdAt, idTime, timestamp } from '../model/common.js';
import { ApiError } from '../model/error.js';
import type { Accepted, Caller } from './caller.js';
import {
  type CollectionSpec,
  type Document,
  insert,
  type ListPage,
  replace,
  type Store,
  type TextPage,
  type Write,
} from './store/port.js';
import { unlessRaced } from './store/retry.js';

/** `previousHash` of the first record. */
export const firstHash = '0'.repeat(64);

export const auditRecords: CollectionSpec<AuditRecord> = {
  name: 'audit',
  columns: {
    sequence: 'integer',
    user_id: 'text',
    user_name: 'text',
    resource_type: 'text',
    resource_id: 'text',
  },
  columnsOf: (_id, record) => ({
    sequence: record.sequence,
    user_id: record.user.id,
    user_name: record.user.name,
    resource_type: record.resource.type,
    resource_id: record.resource.id,
  }),
  present: presentAuditRecord,
  orders: { id: [], sequence: ['sequence'] },
  indexes: [
    ['user_id', 'sequence'],
    ['user_name', 'sequence'],
    ['resource_type', 'sequence'],
    ['resource_id', 'sequence'],
  ],
};

/** The last record of the chain. */
export interface AuditHead {
  sequence: number;
  hash: string;
}

export const auditHeads: CollectionSpec<AuditHead> = {
  name: 'audit_heads',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

/** The only document of `auditHeads`. */
export const auditHeadId = 'site';

/** Who makes a change, and in which request. */
export interface Actor {
  readonly principal: { readonly id: string; readonly name: string };
  readonly requestId: string;
}

export interface AuditEntry {
  action: string;
  resource: { type: string; id: string };
  /** Undefined or null: the resource did not exist. */
  before: unknown;
  /** Undefined or null: it no longer exists. */
  after: unknown;
  reverts?: string | undefined;
}

/** Change ids of the requests in progress. */
const changeIds = new WeakMap<Actor, string>();

function changeIdOf(actor: Actor): string {
  const id = changeIds.get(actor) ?? uuidv7();
  changeIds.set(actor, id);
  return id;
}

/**
 * The writes that record a change, for the same batch as the change itself. The batch must be stored within `retrying`,
 * with this call inside it: another change may be recorded first.
 */
export async function audited(
  store: Store,
  actor: Actor,
  action: string,
  resource: AuditEntry['resource'],
  before: unknown,
  after: unknown,
): Promise<Write[]> {
  return (await auditedAll(store, actor, [{ action, resource, before, after }])).writes;
}

/** The same for several changes of one batch, together with the records. */
export function auditedAll(
  store: Store,
  actor: Actor,
  entries: readonly AuditEntry[],
): Promise<AuditedChanges> {
  return auditedActs(
    store,
    entries.map((entry) => ({ actor, entry })),
  );
}

/** One change, with the writes that record it and the response that shows the record. */
export async function recordedChange(
  store: Store,
  caller: Caller,
  entry: AuditEntry,
): Promise<{ accepted: Accepted; writes: Write[] }> {
  const { records, writes } = await auditedAll(store, caller, [entry]);
  const [made] = records;
  if (made === undefined) throw new ApiError('internal', 'The change was not recorded.');
  const accepted = { id: made.id, text: JSON.stringify(presentAuditRecord(made.id, made.record)) };
  return { accepted, writes: [...writes, ...(caller.storeResponse?.(accepted) ?? [])] };
}

interface AuditedChanges {
  writes: Write[];
  records: { id: string; record: AuditRecord }[];
}

/** The same for the changes of several actors. */
export async function auditedActs(
  store: Store,
  acts: readonly { actor: Actor; entry: AuditEntry }[],
): Promise<AuditedChanges> {
  const head = await headOf(store);
  const records: { id: string; record: AuditRecord }[] = [];
  let last: AuditHead = head.value;
  for (const { actor, entry } of acts) {
    const { action, resource, before, after, reverts } = entry;
    const { id, name } = actor.principal;
    const recordId = uuidv7();
    const content = {
      sequence: last.sequence + 1,
      // Time windows of lists are ranges of ids.
      time: timestamp(new Date(idTime(recordId))),
      changeId: changeIdOf(actor),
      requestId: actor.requestId,
      user: { id, name },
      action,
      resource,
      before: redacted(before),
      after: redacted(after),
      ...defined({ reverts }),
      previousHash: last.hash,
    };
    const hash = auditHash(recordId, content);
    records.push({ id: recordId, record: { ...content, hash } });
    last = { sequence: content.sequence, hash };
  }
  const inserts = records.map(({ id: recordId, record }) => insert(auditRecords, recordId, record));
  return { writes: [...inserts, replace(auditHeads, head, last)], records };
}

/** The head of the chain; the first call of a site creates it. */
async function headOf(store: Store): Promise<Document<AuditHead>> {
  const found = await store.get(auditHeads, auditHeadId);
  if (found !== undefined) return found;
  await unlessRaced(store.write([insert(auditHeads, auditHeadId, { sequence: 0, hash: firstHash })]));
  return headOf(store);
}

/** SHA-256 of everything in a record but its hash; hex. */
export function auditHash(id: string, record: Omit<AuditRecord, 'hash'> & { hash?: string }): string {
  const { hash: _hash, ...content } = record;
  return sha256('sha256', JSON.stringify(sorted({ id, ...content })));
}

/** With sorted member names, so that equal values have equal texts. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(sorted);
  const members = value as Record<string, unknown>;
  return Object.fromEntries(
    Object.keys(members)
      .sort()
      .map((name) => [name, sorted(members[name])]),
  );
}

export interface AuditFilter {
  /** Id or name of the user. */
  user?: string | undefined;
  types?: readonly string[] | undefined;
  resourceIds?: readonly string[] | undefined;
  /** Ms since 1970: from the first (inclusive) to the second (exclusive). */
  since?: number | undefined;
  until?: number | undefined;
}

const isId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The trail as superusers read it. */
export class AuditData {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  list(caller: Caller, filter: AuditFilter, page: ListPage): Promise<TextPage> {
    const { user } = filter;
    const wanted = defined({
      [user !== undefined && isId.test(user) ? 'user_id' : 'user_name']: user,
      resource_type: filter.types,
      resource_id: filter.resourceIds,
    }) as Record<string, string | readonly string[]>;
    const [from, before] = [filter.since, filter.until].map((time) =>
      time === undefined ? undefined : firstIdAt(time),
    );
    const span = { column: 'id', ...defined({ from, before }) };
    return this.#store.pageTexts(auditRecords, { ...page, filter: wanted, span }, caller.signal);
  }
}
