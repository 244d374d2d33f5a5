/**
 * The image that a snapshot makes: its record changes with the task, in the same batch, however the task ends. While
 * the task is open, it is among the open tasks of the image as well.
 */
import { ApiError } from '../model/error.js';
import { awaited, type ImageRecord, made, type MadeImage, unmade } from '../model/stored-image.js';
import type { TaskInput, TaskRecord, TaskType } from '../model/task.js';
import type { TaskEnd } from '../model/task-state.js';
import { storedImages } from './stored-image.js';
import { type Document, replace, type Store, type Write } from './store/port.js';

/** Whether the tasks of this type make an image. */
export function makesImage(type: TaskType): boolean {
  return type === 'instance.snapshot';
}

/** What is written to the image with the end of its task. */
export async function imageAtEnd(store: Store, task: Document<TaskRecord>, end: TaskEnd): Promise<Write[]> {
  const image = await imageOf(store, task.value);
  if (image?.value.openTasks.includes(task.id) !== true) return [];
  const next =
    end.status === 'succeeded'
      ? made(image.value, end.result as MadeImage)
      : unmade(image.value, end.cause.message);
  const openTasks = next.openTasks.filter((id) => id !== task.id);
  return [replace(storedImages, image, { ...next, openTasks })];
}

/** What is written to the image when its failed task is restarted. Throws if there is nothing left to make. */
export async function imageAtRestart(
  store: Store,
  task: Document<TaskRecord>,
  signal: AbortSignal,
): Promise<Write[]> {
  if (!makesImage(task.value.type)) return [];
  const image = await imageOf(store, task.value, signal);
  if (image?.value.state !== 'failed' || image.value.deletionTime !== undefined)
    throw new ApiError('task_state_conflict', 'The image that the task was to make no longer exists.');
  const next: ImageRecord = { ...awaited(image.value), openTasks: [...image.value.openTasks, task.id] };
  return [replace(storedImages, image, next)];
}

async function imageOf(
  store: Store,
  { type, input }: TaskRecord,
  signal?: AbortSignal,
): Promise<Document<ImageRecord> | undefined> {
  if (!makesImage(type)) return undefined;
  return store.get(storedImages, (input as TaskInput<'instance.snapshot'>).imageId, signal);
}
