/** Undoing what was done to labels: made, deleted, put on a resource, taken off it. */
import { isDeepStrictEqual } from 'node:util';
import { type AuditRecord, isRedacted } from '../model/audit.js';
import { ApiError } from '../model/error.js';
import type { LabelRecord } from '../model/label.js';
import { type AuditEntry, recordedChange } from './audit.js';
import type { Accepted, Caller } from './caller.js';
import { withName } from './change.js';
import { erase, type LabelData, type LabelledType, labels } from './label.js';
import { organizations } from './organization.js';
import { projects } from './project.js';
import { changedSince, unprocessable } from './settings.js';
import { check, type Document, insert, type Store } from './store/port.js';
import { retrying } from './store/retry.js';

type Found = Document<AuditRecord>;

/** Deletes a label that was made, unless it has been changed; makes one again that was deleted, on nothing. */
export async function undoLabel(
  store: Store,
  caller: Caller,
  { id: reverts, value }: Found,
): Promise<Accepted> {
  const { action, resource, before, after } = value;
  if (isRedacted(before) || isRedacted(after))
    throw unprocessable('The record lacks a value that was redacted.');
  const present = await store.get(labels, resource.id, caller.signal);
  if (action === 'label.create') {
    if (present === undefined || !isDeepStrictEqual(present.value, after)) throw changedSince();
    return erase(store, caller, resource.id, { action: 'label.revert', reverts });
  }
  const { deletionTime: _, ...label } = before as LabelRecord;
  const restoring = retrying(async () => {
    if ((await store.get(labels, resource.id, caller.signal)) !== undefined) throw changedSince();
    const owner =
      label.projectId === undefined
        ? await store.get(organizations, label.organizationId)
        : await store.get(projects, label.projectId);
    if (owner === undefined || 'deletionTime' in owner.value) throw changedSince();
    const still =
      label.projectId === undefined ? [] : [check(projects, owner as Parameters<typeof check<never>>[1])];
    const entry: AuditEntry = { action: 'label.revert', resource, before: null, after: label, reverts };
    const { accepted, writes } = await recordedChange(store, caller, entry);
    await store.write([insert(labels, resource.id, label), ...still, ...writes], caller.signal);
    return accepted;
  });
  return withName(restoring, 'The name of then has been taken since.', '/id');
}

/** Takes a label off that was put on, or puts it on again, by the rules of today. */
export async function undoLabelUse(
  data: LabelData,
  caller: Caller,
  { id: reverts, value }: Found,
): Promise<Accepted> {
  const { action, resource, before, after } = value;
  const { labelId } = (after ?? before) as { labelId: string };
  const type = resource.type as LabelledType;
  try {
    return await (action === 'label.attach'
      ? data.detach(caller, type, resource.id, labelId, reverts)
      : data.attach(caller, type, resource.id, labelId, reverts));
  } catch (error) {
    if (error instanceof ApiError && ['not_found', 'already_exists'].includes(error.code))
      throw changedSince();
    throw error;
  }
}
