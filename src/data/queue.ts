/**
 * The durable queue as workers see it: claim under a lease, keep it, end it. Every write of a worker carries the
 * fencing token of its claim; a worker whose lease was taken over cannot write any more.
 *
 * Model: amboy's remote queue (Evergreen, section 6). Mended: one heartbeat for each claim, attempts are counted, a
 * dead process's claims are taken over, and the end of a task and what it means for its instance are one step.
 */
import type { InstanceRecord } from '../model/instance.js';
import type { TaskCause, TaskRecord, TaskStep } from '../model/task.js';
import { historyLimit } from '../model/task.js';
import type { TaskEnd } from '../model/task-state.js';
import { attemptsEnded, claimed, ended, interrupted, placed, retried } from '../model/task-state.js';
import { instances } from './instance.js';
import { LeaseWatch } from './lease.js';
import type { Document, Store, Write } from './store/port.js';
import { remove, replace, StoreConflict } from './store/port.js';
import { retrying } from './store/retry.js';
import { tasks } from './task.js';

/** The lease is gone: another process has the task, or it has ended. The work must stop without writing. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

/** What a task's end makes of its instance; undefined removes the record. */
export type InstanceChange = (instance: InstanceRecord) => InstanceRecord | undefined;

export interface QueueOptions {
  /** Names this process, so that it can be recognised as dead. */
  owner: string;
  /** Milliseconds. */
  lease: number;
  /** Longest pause, in ms, of a task that was cut short again and again. Default: none. */
  calm?: number;
}

export class TaskQueue {
  readonly #store: Store;
  readonly #options: QueueOptions;
  readonly #leases = new LeaseWatch();

  constructor(store: Store, options: QueueOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** Calls the listener when a task was written by this process: a hint to look into the queue. */
  watch(listener: (taskId: string) => void): () => void {
    return this.#store.watch((collection, id) => {
      if (collection === tasks.name) listener(id);
    });
  }

  /** The ready task of the region with the highest priority, then the oldest; now this process's. */
  async claim(regionId: string): Promise<Document<TaskRecord> | undefined> {
    const now = new Date();
    const [claim] = await this.#store.claim(
      tasks,
      { order: 'claim', filter: { queue: 'ready', region_id: regionId }, limit: 1 },
      ({ value }) => {
        const { owner, lease } = this.#options;
        return claimed(value, { owner, until: now.getTime() + lease }, now);
      },
    );
    return claim;
  }

  /** Extends the lease; tells whether the task has been asked to end. */
  async renew(claim: Document<TaskRecord>): Promise<{ abort: boolean }> {
    const task = await this.#change(
      claim,
      (value) => ({ ...value, leaseUntil: Date.now() + this.#options.lease }),
      // Readers of the change log see no lease.
      { quiet: true },
    );
    return { abort: task.abort === true };
  }

  /** Whether the task has been asked to end, and by whom; nobody is named when a later request made it pointless. */
  async aborted(id: string): Promise<{ by?: string } | undefined> {
    const task = await this.#store.get(tasks, id);
    if (task?.value.abort !== true) return undefined;
    return task.value.abortedBy === undefined ? {} : { by: task.value.abortedBy };
  }

  /** Adds a step, or ends the one of the same name and attempt. */
  async recordStep(claim: Document<TaskRecord>, step: TaskStep): Promise<void> {
    await this.#change(claim, (value) => {
      const others = value.steps.filter(
        (known) => known.name !== step.name || known.attempt !== step.attempt,
      );
      return { ...value, steps: [...others, step].slice(-historyLimit) };
    });
  }

  /** The instance as it is now. */
  subject(claim: Document<TaskRecord>): Promise<Document<InstanceRecord> | undefined> {
    return this.#store.get(instances, claim.value.subject.id);
  }

  /** Changes the instance while the task runs. */
  async changeSubject(
    claim: Document<TaskRecord>,
    change: (instance: InstanceRecord) => InstanceRecord,
  ): Promise<void> {
    await retrying(async () => {
      const task = await this.#held(claim);
      const instance = await this.subject(claim);
      if (instance === undefined) return;
      // The task is written too, unchanged, so that the change fails when the lease goes between look and write.
      const fence = { ...replace(tasks, task, task.value), quiet: true };
      await this.#store.write([replace(instances, instance, change(instance.value)), fence]);
    });
  }

  /** Ends the task, changes its instance and lets the instance's next task go, in one step. */
  async finish(claim: Document<TaskRecord>, end: TaskEnd, change: InstanceChange): Promise<void> {
    await retrying(async () => {
      const task = await this.#held(claim);
      await this.#store.write(await endingWrites(this.#store, task, end, change));
    });
  }

  /** Ends this attempt and has the task wait for its next one. */
  async retryLater(claim: Document<TaskRecord>, cause: TaskCause, runAfter: number): Promise<void> {
    await this.#change(claim, (value) => retried(value, cause, runAfter));
  }

  /** Gives the task back, for another process to carry on: at once, or from a time on (ms since 1970). */
  async giveBack(claim: Document<TaskRecord>, runAfter = 0): Promise<void> {
    await this.#change(claim, (value) => interrupted(value, 'handed_over', runAfter));
  }

  /** Makes tasks ready whose retry time has come; tells when the next one is due (ms since 1970). */
  async promoteDue(now: number): Promise<number | undefined> {
    for (;;) {
      const due = await this.#store.page(tasks, { order: 'due', filter: { queue: 'waiting' }, limit: 100 });
      const first = due[0]?.value.runAfter;
      if (first === undefined || first > now) return first;
      for (const task of due.filter(({ value }) => (value.runAfter ?? 0) <= now)) {
        await this.#unlessRaced([replace(tasks, task, placed(task.value, false, now))]);
      }
    }
  }

  /**
   * Takes the tasks away from processes that are known to be dead, and from those that gave no sign for the time of a
   * lease. `now` is this process's own monotonic time in ms: no two clocks are compared.
   */
  async takeOver(now: number, isDead: (owner: string) => boolean): Promise<number> {
    let taken = 0;
    let after: [number, string] | undefined;
    this.#leases.begin();
    for (;;) {
      const page = await this.#store.page(tasks, {
        order: 'lease',
        filter: { queue: 'running' },
        limit: 100,
        ...(after === undefined ? {} : { after }),
      });
      for (const task of page) {
        const { owner = '', leaseUntil = 0, token } = task.value;
        const silent = this.#leases.silent(task.id, `${token} ${leaseUntil}`, this.#options.lease, now);
        if (!silent && !isDead(owner)) continue;
        const next = interrupted(task.value, 'interrupted', this.#afterInterruption(task.value));
        taken += await this.#unlessRaced([replace(tasks, task, next)]);
      }
      const last = page.at(-1);
      if (last === undefined || page.length < 100) break;
      after = [last.value.leaseUntil ?? 0, last.id];
    }
    this.#leases.end();
    return taken;
  }

  /**
   * When a task may run again whose process ended (ms since 1970): at once at first. From the third time on it pauses ever
   * longer, at random, so that one that kills its process does not always take the same others with it.
   */
  #afterInterruption(task: TaskRecord): number {
    const { calm = 0 } = this.#options;
    const times = attemptsEnded(task, 'interrupted') + 1;
    if (times < 3 || calm === 0) return 0;
    const pause = Math.min(1000 * 2 ** (times - 3), calm);
    return Math.ceil(Date.now() + pause / 2 + Math.random() * (pause / 2));
  }

  /** Removes tasks that ended before a time (ms since 1970), page by page; tells how many. */
  async purge(before: number, signal: AbortSignal): Promise<number> {
    const span = { column: 'ended', from: 1, before };
    let removed = 0;
    for (;;) {
      const old = await this.#store.page(tasks, { order: 'ended', span, limit: 100 }, signal);
      let gone = 0;
      for (const task of old) gone += await this.#unlessRaced([remove(tasks, task)]);
      removed += gone;
      if (old.length < 100 || gone === 0) return removed;
    }
  }

  /** 1 when stored, 0 when another process was faster, which is as good. */
  async #unlessRaced(writes: Write[]): Promise<number> {
    try {
      await this.#store.write(writes);
      return 1;
    } catch (error) {
      if (error instanceof StoreConflict) return 0;
      throw error;
    }
  }

  async #held(claim: Document<TaskRecord>): Promise<Document<TaskRecord>> {
    const task = await this.#store.get(tasks, claim.id);
    if (task?.value.queue !== 'running' || task.value.token !== claim.value.token) {
      throw new LeaseLost(`Task ${claim.id} is no longer held under token ${claim.value.token}`);
    }
    return task;
  }

  #change(
    claim: Document<TaskRecord>,
    change: (value: TaskRecord) => TaskRecord,
    { quiet = false } = {},
  ): Promise<TaskRecord> {
    return retrying(async () => {
      const task = await this.#held(claim);
      const next = change(task.value);
      await this.#store.write([{ ...replace(tasks, task, next), quiet }]);
      return next;
    });
  }
}

/**
 * The writes of a task's end: the task, what it makes of its instance, and the instance's next task, which goes on in the
 * same step: it is released once, however often the end is tried.
 */
export async function endingWrites(
  store: Store,
  task: Document<TaskRecord>,
  end: TaskEnd,
  change: InstanceChange,
): Promise<Write[]> {
  const writes: Write[] = [replace(tasks, task, ended(task.value, end))];
  const instance = await store.get(instances, task.value.subject.id);
  if (instance === undefined) return writes;
  const openTasks = instance.value.openTasks.filter((id) => id !== task.id);
  const next = change(instance.value);
  writes.push(
    next === undefined ? remove(instances, instance) : replace(instances, instance, { ...next, openTasks }),
  );
  const [following] = openTasks;
  const blocked = following === undefined ? undefined : await store.get(tasks, following);
  if (blocked?.value.queue === 'blocked') writes.push(replace(tasks, blocked, placed(blocked.value, false)));
  return writes;
}
