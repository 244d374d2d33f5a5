/** What superusers do to many tasks at once. */
import type { QueueCleared, RestartResult, RestartWindow } from '../model/admin.js';
import { ApiError } from '../model/error.js';
import type { TaskRecord, TaskType } from '../model/task.js';
import type { Caller } from './caller.js';
import type { Document, Store } from './store/port.js';
import { retrying } from './store/retry.js';
import { abortWrites, type TaskControl } from './task-control.js';
import { tasks } from './task.js';

/** Tasks that one restart looks at, so that a request ends in its time. */
const restartLimit = 1000;
const pageSize = 100;

export interface QueueFilter {
  projectIds?: readonly string[];
  regionIds?: readonly string[];
  types?: readonly TaskType[];
}

export class AdminData {
  readonly #store: Store;
  readonly #control: TaskControl;

  constructor(store: Store, control: TaskControl) {
    this.#store = store;
    this.#control = control;
  }

  /** Cancels what waits: ready, blocked, between two attempts or inactive. What runs goes on. */
  async clearQueue(caller: Caller, filter: QueueFilter): Promise<QueueCleared> {
    const cleared: QueueCleared = { cancelled: 0, aborting: 0 };
    const where = {
      ...(filter.projectIds === undefined ? {} : { project_id: filter.projectIds }),
      ...(filter.regionIds === undefined ? {} : { region_id: filter.regionIds }),
      ...(filter.types === undefined ? {} : { type: filter.types }),
    };
    for (const queue of ['inactive', 'blocked', 'waiting', 'ready'] as const) {
      let after: [string] | undefined;
      for (;;) {
        caller.signal.throwIfAborted();
        const query = { order: 'id', filter: { queue, ...where }, limit: pageSize };
        const page = await this.#store.page(tasks, { ...query, ...(after === undefined ? {} : { after }) });
        for (const task of page) {
          const done = await this.#clear(task, caller.principal.name);
          if (done !== undefined) cleared[done] += 1;
        }
        const last = page.at(-1);
        if (last === undefined || page.length < pageSize) break;
        after = [last.id];
      }
    }
    return cleared;
  }

  #clear(found: Document<TaskRecord>, by: string): Promise<keyof QueueCleared | undefined> {
    return retrying(async () => {
      const task = await this.#store.get(tasks, found.id);
      if (task === undefined || ['running', 'done'].includes(task.value.queue) || task.value.abort === true)
        return undefined;
      await this.#store.write(await abortWrites(this.#store, task, by));
      return task.value.attempts.length === 0 ? 'cancelled' : 'aborting';
    });
  }

  /** Restarts the tasks that failed in a window of time, oldest failure first; one that cannot be is told with its reason. */
  async restartFailed(caller: Caller, window: RestartWindow): Promise<RestartResult> {
    const [from, before] = [Date.parse(window.start), Date.parse(window.end)];
    if (!(from < before)) {
      const message = 'The window must end after it starts.';
      throw new ApiError('invalid_body', message, { errors: [{ pointer: '/end', message }] });
    }
    const result: RestartResult = { restarted: [], refused: [] };
    // Read before anything is restarted: a task that fails again at once would else come twice.
    const found = await this.#failed(window, from, before);
    const rest = found[restartLimit];
    for (const { id } of found.slice(0, restartLimit)) {
      caller.signal.throwIfAborted();
      try {
        if (window.dryRun !== true) await this.#control.restart(withoutConditions(caller), id);
        result.restarted.push(id);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        result.refused.push({ id, code: error.code, message: error.publicMessage });
      }
    }
    return rest?.value.endTime === undefined ? result : { ...result, next: rest.value.endTime };
  }

  /** One more than a restart takes. */
  async #failed(window: RestartWindow, from: number, before: number): Promise<Document<TaskRecord>[]> {
    const filter = {
      status: 'failed',
      ...(window.types === undefined ? {} : { type: window.types }),
      ...(window.projectIds === undefined ? {} : { project_id: window.projectIds }),
    };
    // 0 is the column's value of tasks that have not ended.
    const span = { column: 'ended', from: Math.max(1, from), before };
    return this.#store.page(tasks, { order: 'ended', filter, span, limit: restartLimit + 1 });
  }
}

/** The request's own conditions and its kept answer are about the whole, not about each task. */
function withoutConditions(caller: Caller): Caller {
  const { principal, requestId, traceparent } = caller;
  return { principal, requestId, signal: caller.signal, traceparent };
}
