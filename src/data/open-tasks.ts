/** The open tasks of a subject, and what they mean for a request for another one. */
import { isDeepStrictEqual } from 'node:util';
import { ApiError } from '../model/error.js';
import {
  openTaskIds,
  type Subject,
  type SubjectType,
  subjectTypes,
  type TaskRecord,
  type TaskType,
} from '../model/task.js';
import { effectsOf } from '../model/task-effects.js';
import { abortAsked, ended } from '../model/task-state.js';
import { type Document, replace, type Store, type Write } from './store/port.js';
import { taskAddress, tasks } from './task.js';
import { makesImage } from './task-image.js';
import { taskAfter } from './wish.js';

/** The unfinished tasks of the subject, in the order in which they run. */
export async function openTasksOf(
  store: Store,
  subject: Subject,
  signal?: AbortSignal,
): Promise<Document<TaskRecord>[]> {
  const found = await Promise.all(openTaskIds(subject).map((id) => store.get(tasks, id, signal)));
  return found.filter((task) => task !== undefined);
}

/** Throws if the subject is being deleted. Names the task that deletes it, unless that has failed. */
export function checkLiving(type: SubjectType, subject: Subject): void {
  if (subject.deletionTime === undefined) return;
  const deletion = openTaskIds(subject).at(-1);
  throw new ApiError('being_deleted', `The ${type} is being deleted.`, {
    ...(deletion === undefined ? {} : { blockedBy: taskAddress(deletion) }),
  });
}

/** Throws while an open task blocks others. */
export function checkFree(type: SubjectType, [first]: readonly Document<TaskRecord>[]): void {
  if (first === undefined) return;
  throw new ApiError(subjectTypes[type].busy, `The ${type} is busy with ${first.value.type}.`, {
    blockedBy: taskAddress(first.id),
    headers: { 'Retry-After': '2' },
  });
}

/** The newest open task, if an equal request can share it. */
export function equalTask(
  open: readonly Document<TaskRecord>[],
  type: TaskType,
  input: unknown,
): Document<TaskRecord> | undefined {
  const last = open.at(-1);
  if (last?.value.type !== type || last.value.abort === true) return undefined;
  return isDeepStrictEqual(last.value.input, input) ? last : undefined;
}

/** The open task of this type, which any request for the type shares. */
export function sharable(
  open: readonly Document<TaskRecord>[],
  type: TaskType,
): Document<TaskRecord> | undefined {
  return open.find(({ value }) => value.type === type && value.abort !== true);
}

/** Whether all of the open tasks yield to one of this type. */
export function yields(open: readonly Document<TaskRecord>[], type: TaskType): boolean {
  const { supersedes } = effectsOf(type);
  return supersedes !== undefined && open.every(({ value }) => supersedes(value));
}

/** Ends open tasks that a later request makes obsolete. `left`: those that their workers must end. */
export function superseded(open: readonly Document<TaskRecord>[]): { writes: Write[]; left: string[] } {
  const message = 'A later request made the task obsolete.';
  const end = { status: 'cancelled', cause: { code: 'superseded', message, retryable: false } } as const;
  // The image of a snapshot changes with the end of its task, for which the worker provides.
  const hasBegun = ({ value }: Document<TaskRecord>): boolean =>
    value.attempts.length > 0 || makesImage(value.type);
  return {
    writes: open.map((task) =>
      replace(tasks, task, taskAfter(task, hasBegun(task) ? abortAsked(task.value) : ended(task.value, end))),
    ),
    left: open.filter(hasBegun).map(({ id }) => id),
  };
}
