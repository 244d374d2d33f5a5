/** What users can do with a task: hold or prioritise it, abort it, restart it. */
import { timestamp } from '../model/common.js';
import { ApiError, notFound } from '../model/error.js';
import type { InstanceRecord } from '../model/instance.js';
import { effectsOf } from '../model/task-effects.js';
import {
  presentTask,
  priorityCeiling,
  type TaskCause,
  type TaskPatch,
  type TaskRecord,
} from '../model/task.js';
import { abortAsked, patched, restarted } from '../model/task-state.js';
import type { Accepted, Caller } from './caller.js';
import { instances } from './instance.js';
import { beingDeleted } from './instance-rules.js';
import { endingWrites } from './task-end.js';
import { type Document, replace, type Store, type Write } from './store/port.js';
import { retrying } from './store/retry.js';
import { taskAddress, tasks } from './task.js';
import { instanceAfter, standingOf, taskAfter } from './wish.js';

export class TaskControl {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Changes both fields in one write. Earlier tasks of its instance are activated with it and get at least the same
   * priority: otherwise the task would still wait for them.
   */
  async patch(caller: Caller, id: string, patch: TaskPatch): Promise<{ text: string; revision: number }> {
    const { priority } = patch;
    if (priority !== undefined && priority > priorityCeiling && !caller.principal.superUser) {
      throw new ApiError(
        'forbidden',
        `Priority ${priority} exceeds ${priorityCeiling}, the highest that you may set; only superusers may exceed it.`,
      );
    }
    return retrying(async () => {
      const task = await this.#load(caller, id);
      caller.precondition?.(standingOf(task));
      if (task.value.queue === 'done') throw hasEnded(task.value);
      const next = patched(task.value, patch);
      const writes = changed(task, next);
      for (const ahead of await this.#ahead(task, caller.signal))
        writes.push(...changed(ahead, pulled(ahead.value, patch)));
      if (writes.length > 0) await this.#store.write(writes, caller.signal);
      const revision = task.revision + changed(task, next).length;
      return { text: JSON.stringify(presentTask(id, next)), revision };
    });
  }

  /** The unfinished tasks that run before this one. */
  async #ahead(task: Document<TaskRecord>, signal: AbortSignal): Promise<Document<TaskRecord>[]> {
    if (task.value.queue !== 'blocked') return [];
    const instance = await this.#store.get(instances, task.value.subject.id, signal);
    const open = instance?.value.openTasks ?? [];
    const ids = open.slice(0, Math.max(0, open.indexOf(task.id)));
    const found = await Promise.all(ids.map((id) => this.#store.get(tasks, id, signal)));
    return found.filter((one) => one !== undefined).filter(({ value }) => value.queue !== 'done');
  }

  /**
   * Aborts the task: at once if it has not started, otherwise through its worker. A repeat changes nothing. A task that
   * succeeded or failed: 409.
   */
  async abort(caller: Caller, id: string): Promise<Accepted> {
    return retrying(async () => {
      const task = await this.#load(caller, id);
      caller.precondition?.(standingOf(task));
      if (task.value.status === 'cancelled' || task.value.abort === true) return { id, taskId: id };
      if (task.value.queue === 'done') throw hasEnded(task.value);
      const writes = await abortWrites(this.#store, task, caller.principal.name);
      const accepted = { id, taskId: id };
      await this.#store.write([...writes, ...(caller.remember?.(accepted) ?? [])], caller.signal);
      return accepted;
    });
  }

  /**
   * Restarts a failed or cancelled task, under its id. 409 for any other task, if its instance is gone or being
   * deleted, and if another task blocks it.
   */
  async restart(caller: Caller, id: string): Promise<Accepted> {
    return retrying(async () => {
      const task = await this.#load(caller, id);
      caller.precondition?.(standingOf(task));
      const { status, type, subject } = task.value;
      if (status !== 'failed' && status !== 'cancelled') {
        const message = `The task is ${status}; only a failed or cancelled one can be restarted.`;
        throw new ApiError('task_state_conflict', message);
      }
      const instance = await this.#store.get(instances, subject.id, caller.signal);
      if (instance === undefined)
        throw new ApiError('task_state_conflict', 'The instance of the task no longer exists.');
      await this.#checkFree(instance, type);
      const { principal, requestId } = caller;
      const again = acceptedAnew(instance.value, task.value);
      const next = restarted(task.value, { user: principal.name, requestId, time: timestamp() });
      const accepted = { id, taskId: id };
      await this.#store.write(
        [
          replace(tasks, task, taskAfter(task, next)),
          replace(instances, instance, instanceAfter(instance, { ...again, openTasks: [id] })),
          ...(caller.remember?.(accepted) ?? []),
        ],
        caller.signal,
      );
      return accepted;
    });
  }

  async #checkFree({ value }: Document<InstanceRecord>, type: TaskRecord['type']): Promise<void> {
    const [first] = value.openTasks;
    if (value.deletionTime !== undefined && type !== 'instance.delete') throw beingDeleted(value);
    if (first !== undefined) {
      const busy = await this.#store.get(tasks, first);
      const message = `The instance is busy with ${busy?.value.type ?? 'another task'}.`;
      throw new ApiError('instance_busy', message, {
        blockedBy: taskAddress(first),
        headers: { 'Retry-After': '2' },
      });
    }
  }

  async #load(caller: Caller, id: string): Promise<Document<TaskRecord>> {
    const task = await this.#store.get(tasks, id, caller.signal);
    if (task === undefined) throw notFound();
    return task;
  }
}

/**
 * The writes that abort an unfinished task. If it has started, it may have done half of its work: its worker examines
 * that.
 */
export async function abortWrites(store: Store, task: Document<TaskRecord>, by: string): Promise<Write[]> {
  if (task.value.attempts.length > 0)
    return [replace(tasks, task, taskAfter(task, abortAsked(task.value, by)))];
  const cause: TaskCause = { code: 'aborted', message: `The task was aborted by ${by}.`, retryable: false };
  return endingWrites(store, task, { status: 'cancelled', cause }, (instance) => ({
    ...instance,
    ...task.value.ifCancelled,
  }));
}

/** Throws if the task makes no sense for the current state of the instance. */
function acceptedAnew(instance: InstanceRecord, task: TaskRecord): InstanceRecord {
  const effects = effectsOf(task.type);
  return effects === undefined ? instance : effects.onAccepted(effects.onRestart(instance, task));
}

function hasEnded({ status }: TaskRecord): ApiError {
  return new ApiError('task_state_conflict', `The task has ended: it is ${status}.`);
}

/** A task ahead of one that is patched like this. */
function pulled(ahead: TaskRecord, { activated, priority = ahead.priority }: TaskPatch): TaskRecord {
  const pull: TaskPatch = {
    ...(activated === true ? { activated } : {}),
    ...(priority > ahead.priority ? { priority } : {}),
  };
  // Its own activation stays: an inherited negative priority must not hold it.
  return patched(ahead, { activated: ahead.activated, ...pull });
}

function changed(task: Document<TaskRecord>, next: TaskRecord): Write[] {
  const { activated, priority } = task.value;
  const same = next.activated === activated && next.priority === priority;
  return same ? [] : [replace(tasks, task, taskAfter(task, next))];
}
