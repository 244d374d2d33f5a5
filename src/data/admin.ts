/** Superuser operations on many tasks at once. */
import type { QueueCleared, RestartResult, RestartWindow } from '../model/admin.js';
import { defined } from '../model/common.js';
import { ApiError, type FieldError } from '../model/error.js';
import type { TaskRecord, TaskType } from '../model/task.js';
import { audited } from './audit.js';
import type { Caller } from './caller.js';
import { projects } from './project.js';
import { type RegionRecord, regions } from './region.js';
import type { Document, Store } from './store/port.js';
import { retrying } from './store/retry.js';
import { abortWrites, type TaskControl } from './task-control.js';
import { tasks } from './task.js';

/** Maximum number of tasks per restart, so that the request ends within its time limit. */
const restartLimit = 1000;
const pageSize = 500;
/** Maximum number of concurrent writes. */
const width = 50;

/** Time after which a call that clears the queue ends and reports that there is more. */
export interface ClearLimits {
  tasks: number;
  /** Milliseconds. */
  time: number;
}

const clearLimits: ClearLimits = { tasks: 20_000, time: 10_000 };

export interface QueueFilter {
  projectIds?: readonly string[] | undefined;
  regionIds?: readonly string[] | undefined;
  types?: readonly TaskType[] | undefined;
}

export class AdminData {
  readonly #store: Store;
  readonly #control: TaskControl;
  readonly #limits: ClearLimits;

  constructor(store: Store, control: TaskControl, limits: ClearLimits = clearLimits) {
    this.#limits = limits;
    this.#store = store;
    this.#control = control;
  }

  /**
   * Cancels waiting tasks: ready, blocked, between two attempts or inactive. Running ones continue. Ends within the
   * time limit of a request, and reports whether another call is needed.
   */
  async clearQueue(caller: Caller, filter: QueueFilter): Promise<QueueCleared> {
    await this.#checkNames(filter, (name) => ({ parameter: `${name}ID` }), caller.signal);
    await this.#record(caller, 'task_queue.clear', { ...filter });
    const cleared: QueueCleared = { cancelled: 0, aborting: 0 };
    const deadline = performance.now() + this.#limits.time;
    for await (const waiting of this.#waiting(filter, caller.signal)) {
      for (let done = 0; done < waiting.length;) {
        const room = this.#limits.tasks - cleared.cancelled - cleared.aborting;
        if (room <= 0 || performance.now() > deadline) return { ...cleared, more: true };
        caller.signal.throwIfAborted();
        const some = waiting.slice(done, done + Math.min(room, width));
        done += some.length;
        const ends = some.map((task) => this.#clear(task, caller.principal.name));
        for (const end of await Promise.all(ends)) if (end !== undefined) cleared[end] += 1;
      }
    }
    return cleared;
  }

  /** What is asked is recorded before anything is done: it takes many writes, each of which names the user. */
  #record(caller: Caller, action: string, asked: object): Promise<void> {
    const resource = { type: 'task_queue', id: 'site' };
    return retrying(async () =>
      this.#store.write(await audited(this.#store, caller, action, resource, null, asked)),
    );
  }

  /** Refuses unknown ids: a mistyped one must not look like "nothing to do". */
  async #checkNames(
    { projectIds = [], regionIds = [] }: QueueFilter,
    place: (name: 'project' | 'region', index: number) => Pick<FieldError, 'pointer' | 'parameter'>,
    signal: AbortSignal,
  ): Promise<void> {
    const errors: FieldError[] = [];
    for (const [index, id] of projectIds.entries()) {
      if ((await this.#store.get(projects, id, signal)) !== undefined) continue;
      const message = `There is no project ${id}; GET /api/v2/projects lists them.`;
      errors.push({ ...place('project', index), message });
    }
    const known = regionIds.length === 0 ? [] : await this.#knownRegions(signal);
    for (const [index, id] of regionIds.entries()) {
      if (known.some((region) => region.id === id)) continue;
      const names = known.slice(0, 20).map((region) => `${region.id} (${region.value.name})`);
      const message = `There is no region ${id}; the site has ${names.join(', ') || 'none'}.`;
      errors.push({ ...place('region', index), message });
    }
    if (errors.length === 0) return;
    throw new ApiError('invalid_reference', errors.map(({ message }) => message).join(' '), { errors });
  }

  /** All regions of the site, whether or not a process is driving them. */
  #knownRegions(signal: AbortSignal): Promise<Document<RegionRecord>[]> {
    return this.#store.page(regions, { order: 'id', limit: 1000 }, signal);
  }

  /** Waiting tasks that have not been asked to end, page by page. */
  async *#waiting(filter: QueueFilter, signal: AbortSignal): AsyncGenerator<Document<TaskRecord>[]> {
    const { projectIds, regionIds, types } = filter;
    const where = defined({ project_id: projectIds, region_id: regionIds, type: types });
    for (const queue of ['inactive', 'blocked', 'waiting', 'ready'] as const) {
      for (let after: [string] | undefined; ;) {
        const query = { order: 'id', filter: { queue, ...where }, limit: pageSize };
        const page = await this.#store.page(
          tasks,
          { ...query, ...(after === undefined ? {} : { after }) },
          signal,
        );
        yield page.filter(({ value }) => value.abort !== true);
        const last = page.at(-1);
        if (last === undefined || page.length < pageSize) break;
        after = [last.id];
      }
    }
  }

  #clear(found: Document<TaskRecord>, by: string): Promise<'cancelled' | 'aborting' | undefined> {
    return retrying(async () => {
      const task = await this.#store.get(tasks, found.id);
      if (task === undefined || ['running', 'done'].includes(task.value.queue) || task.value.abort === true)
        return undefined;
      await this.#store.write(await abortWrites(this.#store, task, by));
      return task.value.attempts.length === 0 ? 'cancelled' : 'aborting';
    });
  }

  /**
   * Restarts the tasks that failed in a time window, oldest failure first; those that cannot be restarted are returned
   * with the reason.
   */
  async restartFailed(caller: Caller, window: RestartWindow): Promise<RestartResult> {
    const [from, before] = [Date.parse(window.start), Date.parse(window.end)];
    if (!(from < before)) {
      const message = 'The window must end after it starts.';
      throw new ApiError('invalid_body', message, { errors: [{ pointer: '/end', message }] });
    }
    const { projectIds } = window;
    const place = (_name: string, index: number) => ({ pointer: `/projectIds/${index}` });
    await this.#checkNames({ projectIds }, place, caller.signal);
    if (window.dryRun !== true) await this.#record(caller, 'task_queue.restart', { ...window });
    const result: RestartResult = { restarted: [], refused: [] };
    // Read before anything is restarted: otherwise a task that fails again at once would be included twice.
    const found = await this.#failed(window, from, before);
    const rest = found[restartLimit];
    for (const { id } of found.slice(0, restartLimit)) {
      caller.signal.throwIfAborted();
      try {
        if (window.dryRun !== true)
          await this.#control.restart(withoutConditions(caller), id, { inBulk: true });
        result.restarted.push(id);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        result.refused.push({ id, code: error.code, message: error.publicMessage });
      }
    }
    return rest?.value.endTime === undefined ? result : { ...result, next: rest.value.endTime };
  }

  /** One more than a restart handles. */
  async #failed(window: RestartWindow, from: number, before: number): Promise<Document<TaskRecord>[]> {
    const filter = defined({ status: 'failed', type: window.types, project_id: window.projectIds });
    // 0 is the value of the column for tasks that have not ended.
    const span = { column: 'ended', from: Math.max(1, from), before };
    return this.#store.page(tasks, { order: 'ended', filter, span, limit: restartLimit + 1 });
  }
}

/** The request's preconditions and stored response apply to the whole, not to each task. */
function withoutConditions(caller: Caller): Caller {
  const { principal, requestId, traceparent } = caller;
  return { principal, requestId, signal: caller.signal, traceparent };
}
