/**
 * The durable queue as workers see it: claim tasks under a lease, take over abandoned ones, remove old ones. Every
 * write of a worker carries the fencing token of its claim (`HeldTask`); a worker whose lease was taken over can no
 * longer write.
 *
 * Model: amboy's remote queue (Evergreen, section 6). Differences: one heartbeat per claim, attempts are counted,
 * claims of dead processes are taken over, and the end of a task and its effect on the subject are one step.
 */
import { defined } from '../model/common.js';
import type { QueueState, TaskRecord, TaskType } from '../model/task.js';
import { attemptsEnded, claimed, interrupted, placed } from '../model/task-state.js';
import { HeldTask } from './held-task.js';
import { LeaseWatch } from './lease.js';
import { remove, replace, type Store } from './store/port.js';
import { unlessRaced } from './store/retry.js';
import { firstRank, tasks } from './task.js';

export interface QueueOptions {
  /** Identifies this process, so that its death can be detected. */
  owner: string;
  /** Milliseconds. */
  lease: number;
  /** Longest pause, in ms, of a task that is interrupted repeatedly. Default: none. */
  cooldownMs?: number;
  /** The types of the tasks that may be claimed now; undefined: all. */
  types?: () => readonly TaskType[] | undefined;
}

/** Tasks in this state, a page at a time. The span lets the index of the column serve: it omits tasks without a time. */
function timed(queue: QueueState, column: string) {
  return { filter: { queue }, span: { column, from: 1 }, limit: 100 };
}

export class TaskQueue {
  readonly #store: Store;
  readonly #options: QueueOptions;
  readonly #leases = new LeaseWatch();

  constructor(store: Store, options: QueueOptions) {
    this.#store = store;
    this.#options = options;
  }

  /**
   * Calls the listener when this process has written a task that can be claimed now, or that is running and asked to
   * end.
   */
  watch(listener: (taskId: string) => void): () => void {
    return this.#store.watch((collection, id, value) => {
      if (collection !== tasks.name || value === undefined) return;
      const { queue, abort } = value as TaskRecord;
      if (queue === 'ready' || (queue === 'running' && abort === true)) listener(id);
    });
  }

  /** Claims the ready task of the region with the highest priority, then the oldest. */
  async claim(regionId: string): Promise<HeldTask | undefined> {
    return (await this.claimUpTo(regionId, 1))[0];
  }

  /** This many of them; fewer if there are no more. */
  async claimUpTo(regionId: string, limit: number): Promise<HeldTask[]> {
    const { owner, lease, types } = this.#options;
    const filter = defined({ queue: 'ready', region_id: regionId, type: types?.() });
    if (filter.type?.length === 0) return [];
    const claims = await this.#store.claim(tasks, { order: 'claim', filter, limit }, ({ value }) => {
      const now = new Date();
      return claimed(value, { owner, until: now.getTime() + lease }, now);
    });
    return claims.map((claim) => new HeldTask(this.#store, claim, lease));
  }

  /** Ids of the regions' running tasks that have been asked to end. They come first in the claim order. */
  async toEnd(regionIds: readonly string[]): Promise<string[]> {
    const filter = { queue: 'running', region_id: regionIds, rank: firstRank };
    const found = await this.#store.page(tasks, { order: 'claim', filter, limit: 1000 });
    return found.map(({ id }) => id);
  }

  /** Makes tasks ready whose retry time has come; returns when the next one is due (ms since 1970). */
  async promoteDue(now: number): Promise<number | undefined> {
    for (;;) {
      const due = await this.#store.page(tasks, { ...timed('waiting', 'run_after'), order: 'due' });
      const first = due[0]?.value.runAfter;
      if (first === undefined || first > now) return first;
      for (const task of due.filter(({ value }) => (value.runAfter ?? 0) <= now)) {
        await unlessRaced(this.#store.write([replace(tasks, task, placed(task.value, false, now))]));
      }
    }
  }

  /**
   * Takes tasks away from processes that are known to be dead, and from those without a heartbeat for the length of a
   * lease. `now` is this process's own monotonic time in ms: no two clocks are compared.
   */
  async takeOver(now: number, isDead: (owner: string) => boolean): Promise<number> {
    try {
      return await this.#takeOver(now, isDead);
    } catch (error) {
      this.#leases.blind();
      throw error;
    }
  }

  async #takeOver(now: number, isDead: (owner: string) => boolean): Promise<number> {
    let taken = 0;
    let after: [number, string] | undefined;
    this.#leases.begin();
    for (;;) {
      const page = await this.#store.page(tasks, {
        ...timed('running', 'lease_until'),
        order: 'lease',
        ...(after === undefined ? {} : { after }),
      });
      for (const task of page) {
        const { owner = '', leaseUntil = 0, token } = task.value;
        const silent = this.#leases.silent(task.id, `${token} ${leaseUntil}`, this.#options.lease, now);
        if (!silent && !isDead(owner)) continue;
        const next = interrupted(task.value, 'interrupted', this.#afterInterruption(task.value));
        if (await unlessRaced(this.#store.write([replace(tasks, task, next)]))) taken += 1;
      }
      const last = page.at(-1);
      if (last === undefined || page.length < 100) break;
      after = [last.value.leaseUntil ?? 0, last.id];
    }
    this.#leases.end();
    return taken;
  }

  /**
   * When a task may run again after its process died (ms since 1970): at first immediately. From the third time on it
   * pauses for longer and longer random times, so that a task that kills its process does not always hit the same other
   * tasks.
   */
  #afterInterruption(task: TaskRecord): number {
    const { cooldownMs = 0 } = this.#options;
    const times = attemptsEnded(task, 'interrupted') + 1;
    if (times < 3 || cooldownMs === 0) return 0;
    const pause = Math.min(1000 * 2 ** (times - 3), cooldownMs);
    return Math.ceil(Date.now() + pause / 2 + Math.random() * (pause / 2));
  }

  /** Removes tasks that ended before a time (ms since 1970), page by page; returns how many. */
  async purge(before: number, signal: AbortSignal): Promise<number> {
    const span = { column: 'ended', from: 1, before };
    let removed = 0;
    for (;;) {
      const old = await this.#store.page(tasks, { order: 'ended', span, limit: 100 }, signal);
      let gone = 0;
      for (const task of old) {
        signal.throwIfAborted();
        if (await unlessRaced(this.#store.write([remove(tasks, task)]))) gone += 1;
      }
      removed += gone;
      if (old.length < 100 || gone === 0) return removed;
    }
  }
}
