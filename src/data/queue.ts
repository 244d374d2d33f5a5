/**
 * The durable queue as workers see it: claim under a lease, keep it, end it. Every write of a worker carries the
 * fencing token of its claim; a worker whose lease was taken over cannot write any more.
 *
 * Model: amboy's remote queue (Evergreen, section 6). Mended: one heartbeat for each claim, attempts are counted, a
 * dead process's claims are taken over, and the end of a task and what it means for its instance are one step.
 */
import type { InstanceRecord } from '../model/instance.js';
import { worked } from '../model/instance-task.js';
import type { TaskCause, TaskRecord, TaskStep } from '../model/task.js';
import { historyLimit } from '../model/task.js';
import type { TaskEnd } from '../model/task-state.js';
import { attemptsEnded, claimed, ended, interrupted, placed, retried } from '../model/task-state.js';
import { instances } from './instance.js';
import { LeaseWatch } from './lease.js';
import type { Document, Store, Write } from './store/port.js';
import { remove, replace, StoreConflict } from './store/port.js';
import { retrying } from './store/retry.js';
import { firstRank, tasks } from './task.js';
import { instanceAfter, taskAfter } from './wish.js';

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

/** What this process knows of a task that it holds, so that it need not be read before each write. */
interface Known {
  /** As it was left by the last write of this claim. */
  task?: Document<TaskRecord>;
  /** As it was read for the first write. */
  instance?: Document<InstanceRecord>;
  /** Steps that have ended, which the next write stores. */
  ended: TaskStep[];
}

export class TaskQueue {
  readonly #store: Store;
  readonly #options: QueueOptions;
  readonly #leases = new LeaseWatch();
  readonly #known = new WeakMap<Document<TaskRecord>, Known>();
  readonly #listeners = new Set<(taskId: string) => void>();
  /** Tasks that this queue itself is writing: no news to its watchers. */
  readonly #writing = new Set<string>();

  constructor(store: Store, options: QueueOptions) {
    this.#store = store;
    this.#options = options;
  }

  /**
   * Calls the listener when a task was written by this process, but not by the work on the task itself: a hint to look into
   * the queue and at the task.
   */
  watch(listener: (taskId: string) => void): () => void {
    this.#listeners.add(listener);
    const unwatch = this.#store.watch((collection, id) => {
      if (collection === tasks.name && !this.#writing.has(id)) listener(id);
    });
    return () => {
      this.#listeners.delete(listener);
      unwatch();
    };
  }

  /** The ready task of the region with the highest priority, then the oldest; now this process's. */
  async claim(regionId: string): Promise<Document<TaskRecord> | undefined> {
    return (await this.claimUpTo(regionId, 1))[0];
  }

  /** So many of them; fewer when there are no more. */
  async claimUpTo(regionId: string, limit: number): Promise<Document<TaskRecord>[]> {
    const seen = new Set<string>();
    try {
      const claims = await this.#store.claim(
        tasks,
        { order: 'claim', filter: { queue: 'ready', region_id: regionId }, limit },
        ({ id, value }) => {
          seen.add(id);
          this.#writing.add(id);
          const { owner, lease } = this.#options;
          const now = new Date();
          return claimed(value, { owner, until: now.getTime() + lease }, now);
        },
      );
      for (const claim of claims) this.#known.set(claim, { task: claim, ended: [] });
      return claims;
    } finally {
      for (const id of seen) this.#writing.delete(id);
    }
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

  /** Ids of running tasks of the regions that have been asked to end. They come first in the order of claims. */
  async toEnd(regionIds: readonly string[]): Promise<string[]> {
    const filter = { queue: 'running', region_id: regionIds, rank: firstRank };
    const found = await this.#store.page(tasks, { order: 'claim', filter, limit: 1000 });
    return found.map(({ id }) => id);
  }

  /** Whether the task has been asked to end, and by whom; nobody is named when a later request made it pointless. */
  async aborted(id: string): Promise<{ by?: string } | undefined> {
    const task = await this.#store.get(tasks, id);
    if (task?.value.abort !== true) return undefined;
    return task.value.abortedBy === undefined ? {} : { by: task.value.abortedBy };
  }

  /** Adds a step, or ends the one of the same name and attempt; in the same write changes the instance, if told how. */
  async recordStep(
    claim: Document<TaskRecord>,
    step: TaskStep,
    change?: (instance: InstanceRecord) => InstanceRecord,
  ): Promise<void> {
    await this.#writeHeld(claim, async (task) => {
      const next = withStep(task.value, step);
      const instance = change === undefined ? undefined : await this.#subjectOf(claim);
      const changed =
        instance === undefined || change === undefined
          ? undefined
          : worked(instance.value, task.value.type, change);
      const writes: Write[] = [replace(tasks, task, next)];
      if (instance !== undefined && changed !== undefined)
        writes.push(replace(instances, instance, instanceAfter(instance, changed)));
      return { writes, next };
    });
  }

  /** The step has ended: stored with the next write of the claim, which whatever follows the step begins or ends with. */
  noteEnd(claim: Document<TaskRecord>, step: TaskStep): void {
    this.#knownOf(claim).ended.push(step);
  }

  /** The instance as it is now. */
  async subject(claim: Document<TaskRecord>): Promise<Document<InstanceRecord> | undefined> {
    const instance = await this.#store.get(instances, claim.value.subject.id);
    if (instance !== undefined) this.#knownOf(claim).instance = instance;
    return instance;
  }

  /** Ends the task, changes its instance and lets the instance's next task go, in one step. */
  async finish(claim: Document<TaskRecord>, end: TaskEnd, change: InstanceChange): Promise<void> {
    await this.#writeHeld(claim, async (task) => {
      const instance = await this.#subjectOf(claim);
      return { writes: await endingWrites(this.#store, task, end, change, instance) };
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
      for (const task of old) {
        signal.throwIfAborted();
        gone += await this.#unlessRaced([remove(tasks, task)]);
      }
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

  #knownOf(claim: Document<TaskRecord>): Known {
    const known = this.#known.get(claim) ?? { ended: [] };
    this.#known.set(claim, known);
    return known;
  }

  async #held(claim: Document<TaskRecord>): Promise<Document<TaskRecord>> {
    const { task: known } = this.#knownOf(claim);
    if (known !== undefined) return known;
    const task = await this.#store.get(tasks, claim.id);
    if (task?.value.queue !== 'running' || task.value.token !== claim.value.token) {
      throw new LeaseLost(`Task ${claim.id} is no longer held under token ${claim.value.token}`);
    }
    // Its own writer may have told of it while a write of ours was under way.
    if (task.value.abort === true) for (const listener of this.#listeners) listener(claim.id);
    return task;
  }

  async #subjectOf(claim: Document<TaskRecord>): Promise<Document<InstanceRecord> | undefined> {
    const { instance } = this.#knownOf(claim);
    return instance ?? this.#store.get(instances, claim.value.subject.id);
  }

  async #change(
    claim: Document<TaskRecord>,
    change: (value: TaskRecord) => TaskRecord,
    { quiet = false } = {},
  ): Promise<TaskRecord> {
    let next = claim.value;
    await this.#writeHeld(claim, (task) => {
      next = change(task.value);
      // The end of a step that comes with it is for readers.
      const silent = quiet && this.#knownOf(claim).ended.length === 0;
      return Promise.resolve({ writes: [{ ...replace(tasks, task, next), quiet: silent }], next });
    });
    return next;
  }

  /**
   * Writes to the task under its claim, from what is known of it: a revision that has moved on refuses the write, and it
   * is read anew, where a lost claim shows. `plan` says what it makes of the task and its instance, if it stays held.
   */
  #writeHeld(
    claim: Document<TaskRecord>,
    plan: (task: Document<TaskRecord>) => Promise<{ writes: Write[]; next?: TaskRecord }>,
  ): Promise<void> {
    return retrying(async () => {
      const known = this.#knownOf(claim);
      const task = await this.#held(claim);
      const ended = [...known.ended];
      const { writes, next } = await plan({ ...task, value: ended.reduce(withStep, task.value) });
      // Unknown until the write is known to be stored.
      delete known.task;
      // What was done to the machine will be reported, and changes the instance.
      delete known.instance;
      this.#writing.add(claim.id);
      try {
        await this.#store.write(writes);
      } catch (error) {
        if (error instanceof StoreConflict && error.key !== claim.id) known.task = task;
        throw error;
      } finally {
        this.#writing.delete(claim.id);
      }
      known.ended = known.ended.filter((step) => !ended.includes(step));
      if (next?.queue === 'running') known.task = { id: task.id, revision: task.revision + 1, value: next };
    });
  }
}

function withStep(task: TaskRecord, step: TaskStep): TaskRecord {
  const others = task.steps.filter((known) => known.name !== step.name || known.attempt !== step.attempt);
  return { ...task, steps: [...others, step].slice(-historyLimit) };
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
  known?: Document<InstanceRecord>,
): Promise<Write[]> {
  const writes: Write[] = [replace(tasks, task, taskAfter(task, ended(task.value, end)))];
  const instance = known ?? (await store.get(instances, task.value.subject.id));
  if (instance === undefined) return writes;
  const openTasks = instance.value.openTasks.filter((id) => id !== task.id);
  const next = worked(instance.value, task.value.type, change);
  writes.push(
    next === undefined
      ? remove(instances, instance)
      : replace(instances, instance, instanceAfter(instance, { ...next, openTasks })),
  );
  const [following] = openTasks;
  const blocked = following === undefined ? undefined : await store.get(tasks, following);
  if (blocked?.value.queue === 'blocked') writes.push(replace(tasks, blocked, placed(blocked.value, false)));
  return writes;
}
