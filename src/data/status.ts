/** The activity of the site: counts over the task queue, each from an index. */
import { defined } from '../model/common.js';
import { siteId, taskInputs, type TaskStatus, type TaskType } from '../model/task.js';
import type { QueueCounts, QueueStatus, RecentTasks } from '../model/status.js';
import type { Caller } from './caller.js';
import { regions } from './region.js';
import type { ProjectData } from './project.js';
import { ResourceData } from './resource.js';
import type { Store } from './store/port.js';
import type { TagScope } from './tag-scope.js';
import { madeIn, tasks } from './task.js';

const statuses = ['inactive', 'pending', 'running', 'succeeded', 'failed', 'cancelled'] as const;
const waiting = ['ready', 'waiting', 'blocked', 'inactive'] as const;
const minute = 60_000;

export interface RecentQuery {
  minutes: number;
  projectIds?: readonly string[] | undefined;
  /** Also list tasks, newest first: with these statuses, up to this number. */
  list?: { statuses?: readonly TaskStatus[] | undefined; limit: number } | undefined;
}

export class StatusData extends ResourceData {
  readonly #scope: TagScope;

  constructor(store: Store, projects: ProjectData, scope: TagScope) {
    super(store, projects);
    this.#scope = scope;
  }

  /** The tasks created in the last minutes that the caller may see; as JSON text. */
  async recent(caller: Caller, { minutes, projectIds, list }: RecentQuery): Promise<string> {
    const { signal } = caller;
    const since = Date.now() - minutes * minute;
    const scope = await this.projects.scope(caller, projectIds);
    const subjectIds = await this.#scope.instanceIds(caller);
    const nothing = scope?.length === 0 || subjectIds?.length === 0;
    const span = madeIn(since, undefined);
    const within = defined({ project_id: scope, subject_id: subjectIds });
    const counts = await Promise.all(
      statuses.map(async (status) => {
        const filter = { ...within, status };
        return [status, nothing ? 0 : await this.store.count(tasks, { filter, span }, signal)] as const;
      }),
    );
    const total = counts.reduce((sum, [, count]) => sum + count, 0);
    const answer = { minutes, since: new Date(since).toISOString(), total, ...Object.fromEntries(counts) };
    const text = JSON.stringify(answer satisfies Partial<RecentTasks>);
    if (list === undefined) return text;
    const filter = defined({ ...within, status: list.statuses });
    const query = { order: 'id', descending: true, limit: list.limit, filter, span };
    const listed = nothing ? '[]' : (await this.store.pageTexts(tasks, query, signal)).body.toString();
    return `${text.slice(0, -1)},"tasks":${listed}}`;
  }

  /** Depth, age and rate of the queue, by region and type. */
  async queue(caller: Caller): Promise<QueueStatus> {
    const now = Date.now();
    const answer: QueueStatus = { ...none(), regions: [] };
    const known = await this.store.page(regions, { order: 'id', limit: 1000 }, caller.signal);
    const places = [
      ...known.map(({ id, value }) => ({ id, name: value.name })),
      { id: siteId, name: 'site' },
    ];
    for (const { id, name } of places) {
      const region = {
        regionId: id,
        name,
        ...none(),
        types: [] as QueueStatus['regions'][number]['types'],
      };
      for (const type of Object.keys(taskInputs) as TaskType[]) {
        const counts = await this.#counts(id, type, now, caller.signal);
        if (counts.depth + counts.running + counts.ratePerMinute > 0) region.types.push({ type, ...counts });
        add(region, counts);
      }
      // Tasks of the site itself, such as those that send webhooks.
      if (id !== siteId || region.types.length > 0) answer.regions.push(region);
      add(answer, region);
    }
    return answer;
  }

  async #counts(regionId: string, type: TaskType, now: number, signal: AbortSignal): Promise<QueueCounts> {
    const of = (queue: string) => ({ queue, region_id: regionId, type });
    const count = (queue: string) => this.store.count(tasks, { filter: of(queue) }, signal);
    const [ready, later, blocked, inactive] = await Promise.all(waiting.map(count));
    const counts = { ready: ready ?? 0, waiting: later ?? 0, blocked: blocked ?? 0, inactive: inactive ?? 0 };
    const depth = counts.ready + counts.waiting + counts.blocked;
    const span = { column: 'ended', from: now - minute };
    const ended = await this.store.count(tasks, { filter: of('done'), span }, signal);
    const oldest: string[] = [];
    for (const queue of ['ready', 'waiting', 'blocked'] as const) {
      if (counts[queue] === 0) continue;
      const [first] = await this.store.page(tasks, { order: 'ended', filter: of(queue), limit: 1 }, signal);
      if (first !== undefined) oldest.push(first.value.creationTime);
    }
    const [oldestTime] = oldest.sort();
    return {
      depth,
      ...counts,
      running: await count('running'),
      ratePerMinute: ended,
      ...(oldestTime === undefined ? {} : { oldestTime, oldestAge: age(oldestTime, now) }),
    };
  }
}

/** Seconds. */
function age(time: string, now: number): number {
  return Math.max(0, Math.round((now - Date.parse(time)) / 1000));
}

function none(): QueueCounts {
  return { depth: 0, ready: 0, waiting: 0, blocked: 0, inactive: 0, running: 0, ratePerMinute: 0 };
}

function add(sum: QueueCounts, more: QueueCounts): void {
  for (const key of ['depth', 'ready', 'waiting', 'blocked', 'inactive', 'running', 'ratePerMinute'] as const)
    sum[key] += more[key];
  const { oldestTime, oldestAge } = more;
  if (oldestTime === undefined || oldestAge === undefined) return;
  if (sum.oldestTime !== undefined && sum.oldestTime <= oldestTime) return;
  Object.assign(sum, { oldestTime, oldestAge });
}
