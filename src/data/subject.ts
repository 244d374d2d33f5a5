/** The subjects of tasks: how each type is read, and changed in the same batch as the task. */
import type { InstanceRecord } from '../model/instance.js';
import {
  deletionOf,
  type Subject,
  type SubjectRecord,
  type SubjectRecords,
  type SubjectType,
  type TaskRecord,
  type TaskType,
} from '../model/task.js';
import { instances } from './instance.js';
import { storedImages } from './stored-image.js';
import { type CollectionSpec, type Document, remove, replace, type Store, type Write } from './store/port.js';
import { webhooks } from './webhook.js';
import { instanceAfter } from './wish.js';

/** What a subject type provides for its tasks. Its records list the open ones (`Subject`). */
export interface SubjectKind<R extends Subject> {
  /** Its current state; undefined if it no longer exists. */
  load(store: Store, id: string, signal?: AbortSignal): Promise<Document<R> | undefined>;
  /** The write that stores the effect of a task of this type; undefined removes the record. */
  change(before: Document<R>, next: R | undefined, type: TaskType): Write;
}

const kinds: { readonly [S in SubjectType]: SubjectKind<SubjectRecords[S]> } = {
  instance: kindOf(instances, changedInstance),
  image: kindOf(storedImages),
  webhook: kindOf(webhooks),
};

export function subjectKind(type: SubjectType): SubjectKind<SubjectRecord> {
  return kinds[type];
}

/** The subject of a task; undefined if it has none, or if that no longer exists. */
export async function subjectOf(
  store: Store,
  { subject }: TaskRecord,
  signal?: AbortSignal,
): Promise<Document<SubjectRecord> | undefined> {
  return subject === undefined ? undefined : kinds[subject.type].load(store, subject.id, signal);
}

/** The documents of a collection as subjects. `after`: what is stored when a task changes one to `next`. */
function kindOf<R extends Subject>(
  collection: CollectionSpec<R>,
  after: (before: Document<R>, next: R, type: TaskType) => R = (_before, next) => next,
): SubjectKind<R> {
  return {
    load: (store, id, signal) => store.get(collection, id, signal),
    change: (before, next, type) =>
      next === undefined
        ? remove(collection, before)
        : replace(collection, before, after(before, next, type)),
  };
}

const deleting = [deletionOf('instance'), 'instance.trash', 'instance.restore'];

/**
 * Once an instance is being deleted, only the deletion sets its status: a create may end after the delete was accepted but
 * before it notices.
 */
function changedInstance(
  before: Document<InstanceRecord>,
  next: InstanceRecord,
  type: TaskType,
): InstanceRecord {
  const { deletionTime, provisioning } = before.value;
  const foreign = deletionTime !== undefined && !deleting.includes(type);
  return instanceAfter(before, foreign ? { ...next, provisioning } : next);
}
