/** Undoing what the audit trail has recorded: each type of change that can be, and the rules for it. */
import { isDeepStrictEqual } from 'node:util';
import { isRedacted, type AuditRecord } from '../model/audit.js';
import { timestamp } from '../model/common.js';
import { ApiError, notFoundAt } from '../model/error.js';
import { type Member, memberIn, withMember } from '../model/member.js';
import type { Peopled } from '../model/project.js';
import { auditHash, auditRecords, recordedChange } from './audit.js';
import { undoLabel, undoLabelUse } from './label-revert.js';
import type { Accepted, Caller } from './caller.js';
import { type Changeable, withName } from './change.js';
import { type LabelData, labels } from './label.js';
import { peopled } from './member.js';
import { organizations } from './organization.js';
import { projects } from './project.js';
import { changedSince, type SettingsData, unprocessable } from './settings.js';
import { type CollectionSpec, type Document, replace, type Store } from './store/port.js';
import { retrying } from './store/retry.js';
import { users } from './user.js';

/** What can be restored of a document: the members that requests change, by type of the resource. */
const restorable: Readonly<Record<string, { collection: CollectionSpec<Changeable>; members: string[] }>> = {
  user: restoring(users, ['description', 'active']),
  organization: restoring(organizations, ['name', 'description']),
  project: restoring(projects, ['name', 'description', 'enabled']),
  label: restoring(labels, ['name', 'description', 'properties']),
};

function restoring<T extends Changeable>(collection: CollectionSpec<T>, members: (keyof T & string)[]) {
  return { collection: collection as unknown as CollectionSpec<Changeable>, members };
}

/** Of the whole site: `SettingsData` restores them. */
const siteDocuments = ['settings', 'service_flags', 'banner'];

/** Why a change is not undone, and what to do instead, by the type of the resource. */
const reasons: Readonly<Record<string, string>> = {
  user: 'Users are never removed, since tasks and records name them; deactivate the user instead.',
  organization: 'Organizations are never removed; rename it instead.',
  project:
    'A project begins and ends with its networks, which are not recorded; delete it, or create another one.',
  apikey: 'The trail has no secrets, so no key comes back; create, rotate or revoke one instead.',
  sshkey: 'SSH keys are their users’ own; they add and delete them.',
  session: 'A session begins with a sign-in only, and ends for good.',
  instance: 'What was done to a machine has happened; change, start, stop or delete the instance instead.',
  task: 'A task has gone on since; change, abort or restart it instead.',
  task_queue: 'The tasks have gone on since; restart them instead.',
  subscription: 'The trail has no secrets; write or delete the subscription instead.',
  hook_job: 'The job has gone on since at GitHub.',
};

function notRevertible(action: string, type: string): ApiError {
  const why = reasons[type] ?? 'It is not recorded what would be restored.';
  const message = `A record of "${action}" cannot be undone. ${why}`;
  return new ApiError('not_revertible', message, { errors: [{ pointer: '/id', message }] });
}

type State = Record<string, unknown>;

export class RevertData {
  readonly #store: Store;
  readonly #settings: SettingsData;
  readonly #labels: LabelData;

  constructor(store: Store, settings: SettingsData, labelData: LabelData) {
    this.#labels = labelData;
    this.#store = store;
    this.#settings = settings;
  }

  /** Undoes the change of an audit record, unless the resource has been changed since. Returns the new record. */
  async revert(caller: Caller, recordId: string): Promise<Accepted> {
    const found = await this.#store.get(auditRecords, recordId, caller.signal);
    if (found === undefined) throw notFoundAt('/id', 'audit record');
    if (auditHash(recordId, found.value) !== found.value.hash)
      throw unprocessable('The record was tampered with; run `copse audit verify`.');
    const { action, resource } = found.value;
    const of = Object.values(peopled).find(({ auditedAs }) => auditedAs === resource.type);
    if (of !== undefined) return this.#restoreMember(caller, found, of.collection);
    if (action === 'label.attach' || action === 'label.detach')
      return undoLabelUse(this.#labels, caller, found);
    if (action === 'label.create' || action === 'label.delete') return undoLabel(this.#store, caller, found);
    const kind = restorable[resource.type];
    if (kind === undefined || !/\.(update|revert)$/.test(action)) {
      if (siteDocuments.includes(resource.type)) return this.#settings.undo(caller, found);
      throw notRevertible(action, resource.type);
    }
    const taken = 'The name of then has been taken since.';
    return withName(this.#restore(caller, found, kind.collection, kind.members), taken, '/id');
  }

  #restore(
    caller: Caller,
    record: Document<AuditRecord>,
    collection: CollectionSpec<Changeable>,
    members: readonly string[],
  ): Promise<Accepted> {
    const [before, after] = [record.value.before, record.value.after] as [State, State];
    return this.#change(caller, record, collection, (present) => {
      const now = present as State;
      if (members.some((name) => isRedacted(before[name]) || isRedacted(after[name])))
        throw unprocessable('The record lacks a value that was redacted.');
      for (const name of members) if (!isDeepStrictEqual(now[name], after[name])) throw changedSince();
      const { type, id } = record.value.resource;
      if (type === 'user' && id === caller.principal.id && before['active'] === false)
        throw unprocessable('You cannot deactivate yourself; another superuser can.');
      const kept = Object.entries(now).filter(([name]) => !members.includes(name));
      const restored = members.filter((name) => name in before).map((name) => [name, before[name]]);
      const next = { ...Object.fromEntries(kept), ...Object.fromEntries(restored) } as Changeable;
      return { next, before: now, after: next };
    });
  }

  #restoreMember(
    caller: Caller,
    record: Document<AuditRecord>,
    collection: CollectionSpec<Peopled & Changeable>,
  ): Promise<Accepted> {
    const [before, after] = [record.value.before, record.value.after] as (Member | null)[];
    const userId = before?.userId ?? after?.userId ?? '';
    return this.#change(caller, record, collection, (found) => {
      const now = memberIn(found, userId);
      if (!isDeepStrictEqual(now, after)) throw changedSince();
      return { next: withMember(found, userId, before?.role), before: now, after: before };
    });
  }

  /** Stores the next state together with the record of it. */
  #change<T extends Changeable>(
    caller: Caller,
    { id: reverts, value: { resource } }: Document<AuditRecord>,
    collection: CollectionSpec<T>,
    change: (present: T) => { next: T; before: unknown; after: unknown },
  ): Promise<Accepted> {
    return retrying(async () => {
      const found = await this.#store.get(collection, resource.id, caller.signal);
      if (found === undefined) throw changedSince();
      const { next, before, after } = change(found.value);
      const entry = { action: `${resource.type}.revert`, resource, before, after, reverts };
      const { accepted, writes } = await recordedChange(this.#store, caller, entry);
      const stamped = { ...next, modifiedTime: timestamp(), modifiedBy: caller.principal.name };
      await this.#store.write([replace(collection, found, stamped), ...writes], caller.signal);
      return accepted;
    });
  }
}
