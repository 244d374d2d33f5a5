/**
 * The durable queue as workers see it: claim under a lease, keep it, end it. Every write of a worker carries the
 * fencing token of its claim; a worker whose lease was taken over cannot write any more.
 *
 * Model: amboy's remote queue (Evergreen, section 6). Mended: one heartbeat for each claim, attempts are counted, a
 * dead process's claims are taken over, and the end of a task and what it means for its instance are one step.
 */
import { timestamp } from '../model/common.js';
import type { InstanceRecord } from '../model/instance.js';
import type { TaskAttempt, TaskCause, TaskRecord, TaskStep } from '../model/task.js';
import { historyLimit } from '../model/task.js';
import { instances } from './instance.js';
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

export type TaskEnd =
  | { status: 'succeeded' }
  | { status: 'failed'; cause: TaskCause }
  | { status: 'cancelled'; cause: TaskCause };

export interface QueueOptions {
  /** Names this process, so that it can be recognised as dead. */
  owner: string;
  /** Milliseconds. */
  lease: number;
}

export class TaskQueue {
  readonly #store: Store;
  readonly #options: QueueOptions;

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
  claim(regionId: string): Promise<Document<TaskRecord> | undefined> {
    const now = new Date();
    return this.#store.claim(
      tasks,
      { order: 'claim', filter: { queue: 'ready', region_id: regionId } },
      ({ value }) => ({
        ...value,
        status: 'running',
        queue: 'running',
        startTime: value.startTime ?? timestamp(now),
        owner: this.#options.owner,
        token: value.token + 1,
        leaseUntil: now.getTime() + this.#options.lease,
        attempts: [
          ...value.attempts,
          { number: (value.attempts.at(-1)?.number ?? 0) + 1, startTime: timestamp(now) },
        ],
      }),
    );
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

  /** Whether the task has been asked to end. */
  async aborted(id: string): Promise<boolean> {
    const task = await this.#store.get(tasks, id);
    return task?.value.abort === true;
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
      const writes: Write[] = [replace(tasks, task, ended(task.value, end))];
      const instance = await this.subject(claim);
      if (instance !== undefined) {
        const openTasks = instance.value.openTasks.filter((id) => id !== task.id);
        const next = change(instance.value);
        writes.push(
          next === undefined
            ? remove(instances, instance)
            : replace(instances, instance, { ...next, openTasks }),
        );
        const [following] = openTasks;
        const blocked = following === undefined ? undefined : await this.#store.get(tasks, following);
        if (blocked?.value.queue === 'blocked')
          writes.push(replace(tasks, blocked, { ...blocked.value, queue: 'ready' }));
      }
      await this.#store.write(writes);
    });
  }

  /** Ends this attempt and has the task wait for its next one. */
  async retryLater(claim: Document<TaskRecord>, cause: TaskCause, runAfter: number): Promise<void> {
    await this.#change(claim, (value) => ({
      ...unowned(value),
      status: 'pending',
      queue: 'waiting',
      runAfter,
      attempts: closeAttempt(value.attempts, 'failed', cause),
    }));
  }

  /** Gives the task back at once, for another process to carry on. */
  async giveBack(claim: Document<TaskRecord>): Promise<void> {
    await this.#change(claim, (value) => interrupted(value));
  }

  /** Makes tasks ready whose retry time has come; tells when the next one is due (ms since 1970). */
  async promoteDue(now: number): Promise<number | undefined> {
    for (;;) {
      const due = await this.#store.page(tasks, { order: 'due', filter: { queue: 'waiting' }, limit: 100 });
      const first = due[0]?.value.runAfter;
      if (first === undefined || first > now) return first;
      for (const task of due.filter(({ value }) => (value.runAfter ?? 0) <= now)) {
        await this.#unlessRaced([replace(tasks, task, { ...task.value, queue: 'ready' })]);
      }
    }
  }

  /** Takes the tasks away from processes whose lease ran out or that are known to be dead. */
  async takeOver(now: number, isDead: (owner: string) => boolean): Promise<number> {
    let taken = 0;
    let after: [number, string] | undefined;
    for (;;) {
      const page = await this.#store.page(tasks, {
        order: 'lease',
        filter: { queue: 'running' },
        limit: 100,
        ...(after === undefined ? {} : { after }),
      });
      for (const task of page) {
        const { owner = '', leaseUntil = 0 } = task.value;
        if (leaseUntil > now && !isDead(owner)) continue;
        taken += await this.#unlessRaced([replace(tasks, task, interrupted(task.value))]);
      }
      const last = page.at(-1);
      if (last === undefined || page.length < 100) return taken;
      after = [last.value.leaseUntil ?? 0, last.id];
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

function unowned(task: TaskRecord): TaskRecord {
  const { owner, leaseUntil, ...rest } = task;
  return rest;
}

function closeAttempt(
  attempts: readonly TaskAttempt[],
  outcome: NonNullable<TaskAttempt['outcome']>,
  cause?: TaskCause,
): TaskAttempt[] {
  return attempts
    .map((attempt, index) =>
      index < attempts.length - 1 || attempt.endTime !== undefined
        ? attempt
        : { ...attempt, endTime: timestamp(), outcome, ...(cause === undefined ? {} : { cause }) },
    )
    .slice(-historyLimit);
}

function interrupted(task: TaskRecord): TaskRecord {
  return {
    ...unowned(task),
    status: 'pending',
    queue: 'ready',
    attempts: closeAttempt(task.attempts, 'interrupted'),
  };
}

function ended(task: TaskRecord, end: TaskEnd): TaskRecord {
  const cause = end.status === 'succeeded' ? undefined : end.cause;
  return {
    ...unowned(task),
    status: end.status,
    queue: 'done',
    endTime: timestamp(),
    attempts: closeAttempt(task.attempts, end.status, cause),
    ...(cause === undefined ? {} : { cause }),
  };
}
