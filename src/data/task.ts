import { uuidv7 } from 'uuidv7';
import { defined, firstIdAt, idTime, timestamp } from '../model/common.js';
import { orNotFound } from '../model/error.js';
import {
  openTaskIds,
  presentTask,
  siteId,
  type SubjectRecord,
  type SubjectType,
  type TaskInput,
  type TaskRecord,
  type TaskStatus,
  type TaskType,
  type TaskTypeOn,
} from '../model/task.js';
import { effectsOf } from '../model/task-effects.js';
import type { Interruption } from '../model/interruption.js';
import type { Caller } from './caller.js';
import type { ChangeFeed } from './change-feed.js';
import type { ProjectData } from './project.js';
import {
  type CollectionSpec,
  type Document,
  emptyPage,
  insert,
  type ListPage,
  type Store,
  type StoredText,
  type TextPage,
  type Write,
} from './store/port.js';

/** Before all priorities: a task that is to be ended makes way for others, so it must not wait for them. */
export const firstRank = -2_000_000_000;

/**
 * `rank` is the negated priority, so that the claim order is ascending: highest priority, then oldest. `ended` is the
 * time of the end in ms since 1970, and 0 before it.
 */
export const tasks: CollectionSpec<TaskRecord> = {
  name: 'tasks',
  columns: {
    project_id: 'text',
    region_id: 'text',
    subject_id: 'text',
    type: 'text',
    status: 'text',
    queue: 'text',
    rank: 'integer',
    run_after: 'integer',
    lease_until: 'integer',
    requester: 'text',
    ended: 'integer',
  },
  columnsOf: (_id, task) => ({
    project_id: task.projectId === siteId ? null : task.projectId,
    region_id: task.regionId,
    subject_id: task.subject?.id ?? null,
    type: task.type,
    status: task.status,
    queue: task.queue,
    rank: task.abort === true ? firstRank : -task.priority,
    run_after: task.runAfter ?? null,
    lease_until: task.leaseUntil ?? null,
    requester: task.requester.user,
    ended: task.endTime === undefined ? 0 : Date.parse(task.endTime),
  }),
  loggedBy: 'project_id',
  present: presentTask,
  orders: { id: [], claim: ['rank'], due: ['run_after'], lease: ['lease_until'], ended: ['ended'] },
  filteredOrders: ['claim', 'due', 'lease'],
  sparse: ['run_after', 'lease_until'],
  indexes: [
    ['queue', 'region_id', 'rank'],
    ['queue', 'run_after'],
    ['queue', 'lease_until'],
    ['project_id'],
    ['subject_id'],
    ['status'],
    ['requester'],
    ['queue', 'region_id', 'type', 'ended'],
  ],
};

export interface TaskFilter {
  projectIds?: readonly string[] | undefined;
  subjectIds?: readonly string[] | undefined;
  types?: readonly TaskType[] | undefined;
  statuses?: readonly TaskStatus[] | undefined;
  /** Names of users; `schedule` for the site's own. */
  requesters?: readonly string[] | undefined;
  /** Creation time, ms since 1970: from the first (inclusive) to the second (exclusive). */
  createdAfter?: number | undefined;
  createdBefore?: number | undefined;
}

/** The range of ids generated in a time window (ms since 1970). */
export function madeIn(from: number | undefined, before: number | undefined) {
  return {
    column: 'id',
    ...defined({
      from: from === undefined ? undefined : firstIdAt(from),
      before: before === undefined ? undefined : firstIdAt(before),
    }),
  };
}

export function taskAddress(id: string): string {
  return `/api/v2/tasks/${id}`;
}

/** Where a task runs, and to which project it belongs. */
export type TaskPlace = Pick<TaskRecord, 'organizationId' | 'projectId' | 'regionId'>;

/**
 * A new task for a subject in its previous state, as the write that stores it and the record change for the same batch.
 * The subject's revision guards the order of its tasks: the loser of a race reads again.
 */
export function openTask<S extends SubjectType, T extends TaskTypeOn<S>>(
  subjectType: S,
  subject: Document<SubjectRecord>,
  type: T,
  input: TaskInput<T>,
  caller: Caller,
): { id: string; write: Write; openTasks: string[] } {
  const { name } = subject.value;
  const openTasks = openTaskIds(subject.value);
  const { id, write } = newTask(subject.value, type, input, caller, {
    queue: openTasks.length === 0 ? 'ready' : 'blocked',
    subject: { type: subjectType, id: subject.id, name },
    ifCancelled: effectsOf(type).onCancelled(subject.value),
  });
  return { id, write, openTasks: [...openTasks, id] };
}

/** A new task, as the write that stores it. Without `about` it has no subject. */
export function newTask<T extends TaskType>(
  { organizationId, projectId, regionId }: TaskPlace,
  type: T,
  input: TaskInput<T>,
  caller: Caller,
  about: Partial<Pick<TaskRecord, 'queue' | 'subject' | 'ifCancelled' | 'children'>> = {},
  id = uuidv7(),
): { id: string; write: Write } {
  const record: TaskRecord = {
    type,
    status: 'pending',
    queue: 'ready',
    activated: true,
    priority: 0,
    input,
    organizationId,
    projectId,
    regionId,
    requester: {
      user: caller.principal.name,
      requestId: caller.requestId,
      ...(caller.traceparent === undefined ? {} : { traceparent: caller.traceparent }),
    },
    ...(caller.principal.limits?.tags === undefined ? {} : defined({ keyId: caller.principal.keyId })),
    creationTime: timestamp(new Date(idTime(id))),
    attempts: [],
    steps: [],
    token: 0,
    wishRevision: 1,
    ...(caller.within === undefined ? {} : { parentId: caller.within.parentId }),
    ...about,
  };
  return { id, write: insert(tasks, id, record) };
}

/** The subjects among these whose tasks the caller may see; undefined: all. */
export interface SubjectScope {
  among(caller: Caller, wanted?: readonly string[]): Promise<readonly string[] | undefined>;
}

export class TaskData {
  readonly #store: Store;
  readonly #projects: ProjectData;
  readonly #feed: ChangeFeed;
  readonly #scope: SubjectScope;

  constructor(store: Store, projects: ProjectData, feed: ChangeFeed, scope: SubjectScope) {
    this.#store = store;
    this.#projects = projects;
    this.#feed = feed;
    this.#scope = scope;
  }

  /** Undefined if absent. No visibility check: used by the pipeline's project context and the data layer. */
  load(id: string, signal?: AbortSignal): Promise<Document<TaskRecord> | undefined> {
    return this.#store.get(tasks, id, signal);
  }

  /** One read for both the access decision and the task itself; undefined if it is absent. */
  readForAccess(id: string, signal?: Interruption): Promise<StoredText | undefined> {
    return this.#store.text(tasks, id, 'project_id', signal);
  }

  /** The public text of a task. Absent: `not_found`. */
  async text(caller: Caller, id: string): Promise<StoredText> {
    return orNotFound(await this.readForAccess(id, caller.signal));
  }

  /**
   * Waits until the task has ended, at most this many milliseconds; returns whether it has. Woken by this process's
   * writes and by the change log; polls once a second in any case. When the process stops, it waits only for running
   * tasks, because it claims nothing more.
   */
  async ended(caller: Caller, id: string, timeoutMs: number): Promise<boolean> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const woken = this.#written(id, Math.min(1000, deadline - Date.now()), caller.signal);
      try {
        const task = await this.load(id, caller.signal);
        if (task === undefined || task.value.queue === 'done') return true;
        if (Date.now() >= deadline) return false;
        if (this.#feed.closing.aborted && task.value.queue !== 'running') return false;
        await woken.promise;
      } finally {
        woken.cancel();
      }
    }
  }

  /**
   * Resolves when this process writes the task, when others have written anything, after the given milliseconds, when
   * the signal aborts, or when the process stops.
   */
  #written(
    id: string,
    milliseconds: number,
    signal: AbortSignal,
  ): { promise: Promise<void>; cancel: () => void } {
    let cancel: () => void = () => undefined;
    const ends = [signal, this.#feed.closing];
    const promise = new Promise<void>((resolve) => {
      const unwatch = this.#store.watch((collection, written) => {
        if (collection === tasks.name && written === id) cancel();
      });
      const unsubscribe = this.#feed.subscribe((foreign) => {
        if (foreign) cancel();
      });
      const timer = setTimeout(() => cancel(), Math.max(0, milliseconds));
      cancel = () => {
        unwatch();
        unsubscribe();
        clearTimeout(timer);
        for (const end of ends) end.removeEventListener('abort', cancel);
        resolve();
      };
      for (const end of ends) end.addEventListener('abort', cancel, { once: true });
    });
    return { promise, cancel: () => cancel() };
  }

  async list(caller: Caller, filter: TaskFilter, page: ListPage): Promise<TextPage> {
    const { projectIds, types, statuses, requesters } = filter;
    const subjectIds = await this.#scope.among(caller, filter.subjectIds);
    if (subjectIds?.length === 0) return emptyPage;
    const columns = { subject_id: subjectIds, type: types, status: statuses, requester: requesters };
    const span = madeIn(filter.createdAfter, filter.createdBefore);
    return this.#projects.contents(tasks, caller, { projectIds, columns, span }, page);
  }
}
