/** How a task ends: everything that is written with its end, in one step. */
import { openTaskIds, type SubjectRecord, type TaskRecord } from '../model/task.js';
import { ended, placed, type TaskEnd } from '../model/task-state.js';
import { settleCharge } from './quota.js';
import { type Document, replace, type Store, type Write } from './store/port.js';
import { subjectKind, subjectOf } from './subject.js';
import { tasks } from './task.js';
import { imageAtEnd } from './task-image.js';
import { taskAfter } from './wish.js';

/** The effect of a task's end on its subject; undefined removes the record. */
export type SubjectChange = (subject: SubjectRecord) => SubjectRecord | undefined;

/**
 * The writes of a task's end: the task, the image that it makes, its effect on the subject, and the subject's next
 * task, which is released in the same step: exactly once, however often the end is tried.
 */
export async function endingWrites(
  store: Store,
  task: Document<TaskRecord>,
  end: TaskEnd,
  change: SubjectChange,
  known?: Document<SubjectRecord>,
): Promise<Write[]> {
  const writes: Write[] = [
    replace(tasks, task, taskAfter(task, ended(task.value, end))),
    ...(await imageAtEnd(store, task, end)),
  ];
  const { type, subject: of } = task.value;
  const subject = known ?? (await subjectOf(store, task.value));
  if (of === undefined || subject === undefined) return writes;
  const openTasks = openTaskIds(subject.value).filter((id) => id !== task.id);
  const next = change(subject.value);
  const settled = await settleCharge(store, subject.value, next && { ...next, openTasks });
  writes.push(subjectKind(of.type).change(subject, settled.record, type), ...settled.writes);
  const [following] = openTasks;
  const blocked = following === undefined ? undefined : await store.get(tasks, following);
  if (blocked?.value.queue === 'blocked') writes.push(replace(tasks, blocked, placed(blocked.value, false)));
  return writes;
}
