/** What users can do with a task: request, hold or prioritise it, abort it, restart it. */
import { timestamp } from '../model/common.js';
import { ApiError, notFound } from '../model/error.js';
import type { InstanceRecord } from '../model/instance.js';
import { effectsOf } from '../model/task-effects.js';
import {
  deletionOf,
  openTaskIds,
  presentTask,
  priorityCeiling,
  type SubjectRecord,
  type SubjectType,
  type TaskCause,
  type TaskInput,
  type TaskPatch,
  type TaskRecord,
  type TaskType,
  type TaskTypeAlone,
  type TaskTypeOn,
} from '../model/task.js';
import { abortAsked, patched, restarted } from '../model/task-state.js';
import { audited } from './audit.js';
import type { Accepted, Caller } from './caller.js';
import { checkFree, checkLiving, equalTask, openTasksOf, superseded, yields } from './open-tasks.js';
import { carryOut, checkRepeatable, type Intended } from './plan.js';
import { chargeChange } from './quota.js';
import { endingWrites } from './task-end.js';
import { type Document, replace, type Store, type Write } from './store/port.js';
import { retrying } from './store/retry.js';
import { newTask, openTask, type TaskPlace, tasks } from './task.js';
import { subjectKind, subjectOf } from './subject.js';
import { imageAtRestart } from './task-image.js';
import { standingOf, taskAfter } from './wish.js';

export class TaskControl {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Accepts a task for a subject: shares an equal open one, ends those that yield to it, and refuses while another one
   * blocks it, or if the subject cannot accept it now.
   */
  async request<S extends SubjectType, T extends TaskTypeOn<S>>(
    caller: Caller,
    subjectType: S,
    id: string,
    type: T,
    input: TaskInput<T>,
  ): Promise<Accepted> {
    return retrying(async () => {
      const kind = subjectKind(subjectType);
      const subject = await kind.load(this.#store, id, caller.signal);
      if (subject === undefined) throw notFound();
      checkLiving(subjectType, subject.value);
      caller.precondition?.(standingOf(subject));
      const open = await openTasksOf(this.#store, subject.value, caller.signal);
      const equal = equalTask(open, type, input);
      if (equal !== undefined) return { id, taskId: equal.id };
      if (!yields(open, type)) checkFree(subjectType, open);
      const { writes: ends, left } = superseded(open);
      // Superseded tasks leave no desired state behind.
      const before = open.reduce((value, task) => ({ ...value, ...task.value.ifCancelled }), subject.value);
      const rest = { ...subject, value: { ...before, openTasks: left } };
      const task = openTask(subjectType, rest, type, input, caller);
      const next = { ...effectsOf(type).onAccepted(rest.value), openTasks: task.openTasks };
      const accepted = { id, taskId: task.id };
      const writes = [kind.change(rest, next, type), task.write, ...ends];
      return carryOut(this.#store, caller, accepted, writes, intentOf(subjectType, subject, next, type));
    });
  }

  /** Accepts a task that has no subject. */
  async requestAlone<T extends TaskTypeAlone>(
    caller: Caller,
    place: TaskPlace,
    type: T,
    input: TaskInput<T>,
  ): Promise<Accepted> {
    const { id, write } = newTask(place, type, input, caller);
    const accepted = { id, taskId: id };
    await this.#store.write([write, ...(caller.storeResponse?.(accepted) ?? [])], caller.signal);
    return accepted;
  }

  /**
   * Changes both fields in one write. Earlier tasks of its subject are activated with it and get at least the same
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
      if (writes.length > 0) {
        writes.push(...(await this.#recorded(caller, 'task.update', task, holdOf(task.value), holdOf(next))));
        await this.#store.write(writes, caller.signal);
      }
      const revision = task.revision + changed(task, next).length;
      return { text: JSON.stringify(presentTask(id, next)), revision };
    });
  }

  /** The unfinished tasks that run before this one. */
  async #ahead(task: Document<TaskRecord>, signal: AbortSignal): Promise<Document<TaskRecord>[]> {
    if (task.value.queue !== 'blocked') return [];
    const subject = await subjectOf(this.#store, task.value, signal);
    const open = subject === undefined ? [] : openTaskIds(subject.value);
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
      const after = { status: task.value.attempts.length > 0 ? 'aborting' : 'cancelled' };
      const { status } = task.value;
      writes.push(...(await this.#recorded(caller, 'task.abort', task, { status }, after)));
      const accepted = { id, taskId: id };
      await this.#store.write([...writes, ...(caller.storeResponse?.(accepted) ?? [])], caller.signal);
      return accepted;
    });
  }

  /**
   * Restarts a failed or cancelled task, under its id. 409 for any other task, if its subject is gone or being
   * deleted, and if another task blocks it. `inBulk`: one of many, which are recorded together.
   */
  async restart(caller: Caller, id: string, { inBulk = false } = {}): Promise<Accepted> {
    return retrying(async () => {
      const task = await this.#load(caller, id);
      caller.precondition?.(standingOf(task));
      checkRepeatable(caller, task.value.type);
      const { status } = task.value;
      if (status !== 'failed' && status !== 'cancelled') {
        const message = `The task is ${status}; only a failed or cancelled one can be restarted.`;
        throw new ApiError('task_state_conflict', message);
      }
      const accepted = { id, taskId: id };
      const { principal, requestId, signal } = caller;
      const writes = await this.#acceptAnew(task, signal);
      const next = restarted(task.value, { user: principal.name, requestId, time: timestamp() });
      writes.push(replace(tasks, task, taskAfter(task, next)), ...(caller.storeResponse?.(accepted) ?? []));
      if (!inBulk)
        writes.push(
          ...(await this.#recorded(caller, 'task.restart', task, { status }, { status: next.status })),
        );
      await this.#store.write(writes, signal);
      return accepted;
    });
  }

  /** The writes that accept the restarted task for its subject. */
  async #acceptAnew(task: Document<TaskRecord>, signal: AbortSignal): Promise<Write[]> {
    const { id, value } = task;
    const { type, subject: of } = value;
    if (of === undefined) return [];
    const subject = await subjectOf(this.#store, value, signal);
    if (subject === undefined)
      throw new ApiError('task_state_conflict', `The ${of.type} of the task no longer exists.`);
    if (type !== deletionOf(of.type)) checkLiving(of.type, subject.value);
    checkFree(of.type, await openTasksOf(this.#store, subject.value, signal));
    const effects = effectsOf(type);
    const image = await imageAtRestart(this.#store, task, signal);
    const next = { ...effects.onAccepted(effects.onRestart(subject.value, value)), openTasks: [id] };
    const { record, writes } = await chargeChange(this.#store, subject.value, next, signal);
    return [subjectKind(of.type).change(subject, record, type), ...image, ...writes];
  }

  /** The writes that record what is done to a task. */
  #recorded(
    caller: Caller,
    action: string,
    { id, value: { type, projectId, subject } }: Document<TaskRecord>,
    before: object,
    after: object,
  ): Promise<Write[]> {
    const known = { type, projectId, ...(subject === undefined ? {} : { subject: subject.id }) };
    const states = [
      { ...known, ...before },
      { ...known, ...after },
    ] as const;
    return audited(this.#store, caller, action, { type: 'task', id }, ...states);
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
  return endingWrites(store, task, { status: 'cancelled', cause }, (subject) => ({
    ...subject,
    ...task.value.ifCancelled,
  }));
}

/** What is planned, if the subject is an instance. */
function intentOf(
  subjectType: SubjectType,
  { id, revision, value }: Document<SubjectRecord>,
  after: SubjectRecord,
  task: TaskType,
): Intended | undefined {
  if (subjectType !== 'instance') return undefined;
  return { id, revision, before: value as InstanceRecord, after: after as InstanceRecord, task };
}

function holdOf({ activated, priority }: TaskRecord) {
  return { activated, priority };
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
