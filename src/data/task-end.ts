/** How a task ends: everything that is written with its end, in one step. */
import type { InstanceRecord } from '../model/instance.js';
import type { TaskRecord, TaskType } from '../model/task.js';
import { ended, placed, type TaskEnd } from '../model/task-state.js';
import { instances } from './instance.js';
import { type Document, remove, replace, type Store, type Write } from './store/port.js';
import { tasks } from './task.js';
import { instanceAfter, taskAfter } from './wish.js';

/** The effect of a task's end on its instance; undefined removes the record. */
export type InstanceChange = (instance: InstanceRecord) => InstanceRecord | undefined;

/**
 * The writes of a task's end: the task, its effect on the instance, and the instance's next task, which is released in
 * the same step: exactly once, however often the end is tried.
 */
export async function endingWrites(
  store: Store,
  task: Document<TaskRecord>,
  end: TaskEnd,
  change: InstanceChange,
  known?: Document<InstanceRecord>,
): Promise<Write[]> {
  const writes: Write[] = [replace(tasks, task, taskAfter(task, ended(task.value, end)))];
  const instance = known ?? (await store.get(instances, task.value.subject.id));
  if (instance === undefined) return writes;
  const openTasks = instance.value.openTasks.filter((id) => id !== task.id);
  const next = worked(instance.value, task.value.type, change);
  writes.push(
    next === undefined
      ? remove(instances, instance)
      : replace(instances, instance, instanceAfter(instance, { ...next, openTasks })),
  );
  const [following] = openTasks;
  const blocked = following === undefined ? undefined : await store.get(tasks, following);
  if (blocked?.value.queue === 'blocked') writes.push(replace(tasks, blocked, placed(blocked.value, false)));
  return writes;
}

/**
 * The effect of the work of a task of this type on the instance. Once the instance is being deleted, only the deletion
 * sets its status: a create may end after the delete was accepted but before it notices.
 */
export function worked<R extends InstanceRecord | undefined>(
  instance: InstanceRecord,
  type: TaskType,
  change: (instance: InstanceRecord) => R,
): R {
  const next = change(instance);
  if (next === undefined || instance.deletionTime === undefined || type === 'instance.delete') return next;
  return { ...next, provisioning: instance.provisioning };
}
