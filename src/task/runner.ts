/**
 * Claims tasks of the regions that this process drives and runs them, with limited concurrency. The queue stores,
 * p-queue executes. A task ends, is handed back or waits for its next attempt; it is never dropped: if a write fails
 * here, its lease expires and it is taken over.
 */
import PQueue from 'p-queue';
import { isDeadOwner } from '../data/owner.js';
import { type HeldTask, LeaseLost } from '../data/held-task.js';
import type { TaskQueue } from '../data/queue.js';
import type { OpenRegion } from '../data/region.js';
import type { Log } from '../model/log.js';
import { Attempt, type AttemptOptions } from './attempt.js';

export interface RunnerOptions extends AttemptOptions {
  /** Concurrent tasks per region. */
  concurrency: number;
  /** Milliseconds between polls of the queue when nothing announces work. */
  poll: number;
  /** Milliseconds that running tasks get to finish at shutdown. */
  grace: number;
}

interface Lane {
  region: OpenRegion;
  queue: PQueue;
  /** The current claim loop, and whether it should poll once more. */
  pumping: Promise<void> | undefined;
  again: boolean;
  /** The last poll found everything that was ready: later tasks are announced. */
  dry: boolean;
}

export class TaskRunner {
  readonly #queue: TaskQueue;
  readonly #options: RunnerOptions;
  readonly #log: Log;
  readonly #lanes: Lane[];
  readonly #attempts = new Map<string, { attempt: Attempt; ended: Promise<void> }>();
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires, by the monotonic clock. */
  #planned = Infinity;
  #tending: Promise<void> = Promise.resolve();
  #heed: Promise<void> | undefined;
  #unwatch: (() => void) | undefined;
  /** Nothing more is claimed. */
  #stopping = false;

  constructor(queue: TaskQueue, open: readonly OpenRegion[], options: RunnerOptions, log: Log) {
    this.#queue = queue;
    this.#options = options;
    this.#log = log;
    this.#lanes = open.map((region) => ({
      region,
      queue: new PQueue({ concurrency: options.concurrency }),
      pumping: undefined,
      again: false,
      dry: false,
    }));
  }

  /** Takes over what dead processes left and starts working. */
  async start(): Promise<void> {
    this.#unwatch = this.#queue.watch((taskId) => {
      this.#attempts.get(taskId)?.attempt.checkAbort();
      this.#pumpAll();
    });
    await this.#tend();
  }

  /** Polls the queue soon: another process may have written something. */
  nudge(): void {
    this.#heed ??= this.#heedAborts().finally(() => (this.#heed = undefined));
    this.#pumpAll();
  }

  /** One read for all tasks that run here, however many. */
  async #heedAborts(): Promise<void> {
    try {
      if (this.#attempts.size === 0) return;
      for (const id of await this.#queue.toEnd(this.#lanes.map(({ region }) => region.id)))
        this.#attempts.get(id)?.attempt.checkAbort();
    } catch (error) {
      this.#log.warn({ err: error }, 'cannot check for tasks that are to be ended');
    }
  }

  /** Leaves unclaimed tasks to other processes; running ones continue. */
  stopClaiming(): void {
    this.#stopping = true;
    clearTimeout(this.#timer);
  }

  /** Stops claiming, gives running tasks the grace period, then hands them back. */
  async stop(): Promise<void> {
    this.stopClaiming();
    this.#unwatch?.();
    const idle = this.#idle();
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise((resolve) => {
      timer = setTimeout(resolve, this.#options.grace);
    });
    await Promise.race([idle, deadline]);
    clearTimeout(timer);
    for (const { attempt } of this.#attempts.values()) attempt.handBack();
    await idle;
  }

  /** A claim in progress may still bring a task; only then can the lanes run empty. */
  async #idle(): Promise<void> {
    await this.#tending;
    await this.#heed;
    await Promise.all(this.#lanes.map((lane) => lane.pumping ?? Promise.resolve()));
    await Promise.all(this.#lanes.map((lane) => lane.queue.onIdle()));
  }

  /** Maintains the queue: dead owners, due retries, ready tasks; then sets the timer for the next poll. */
  async #tend(): Promise<void> {
    // Anything that becomes due in the meantime schedules its own poll.
    this.#planned = Infinity;
    let wait = this.#options.poll;
    try {
      const now = Date.now();
      const taken = await this.#queue.takeOver(performance.now(), isDeadOwner);
      if (taken > 0) this.#log.info({ taken }, 'took over tasks of dead processes');
      const due = await this.#queue.promoteDue(now);
      if (due !== undefined) wait = Math.min(wait, Math.max(due - Date.now(), 10));
    } catch (error) {
      this.#log.error({ err: error }, 'cannot maintain the task queue');
    }
    if (this.#stopping) return;
    this.#pumpAll();
    this.#plan(wait);
  }

  /** A scheduled poll is only ever moved forward: otherwise repeatedly failing attempts would postpone it forever. */
  #plan(wait: number): void {
    const planned = performance.now() + wait;
    if (planned >= this.#planned) return;
    this.#planned = planned;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#tending = this.#tend();
    }, wait);
  }

  #pumpAll(): void {
    for (const lane of this.#lanes) this.#pump(lane);
  }

  #pump(lane: Lane): void {
    lane.again = true;
    lane.dry = false;
    lane.pumping ??= this.#claimAll(lane).finally(() => {
      lane.pumping = undefined;
      // Requested after the loop's last poll, and before this.
      if (lane.again && !this.#stopping) this.#pump(lane);
    });
  }

  async #claimAll(lane: Lane): Promise<void> {
    try {
      while (lane.again && !this.#stopping) {
        lane.again = false;
        await this.#fill(lane);
      }
    } catch (error) {
      this.#log.error({ err: error, region: lane.region.name }, 'cannot claim tasks');
    }
  }

  async #fill(lane: Lane): Promise<void> {
    for (;;) {
      const free = this.#options.concurrency - lane.queue.pending - lane.queue.size;
      if (this.#stopping || free <= 0) return;
      const claims = await this.#queue.claimUpTo(lane.region.id, free);
      for (const task of claims) void this.#take(lane, task);
      lane.dry = claims.length < free && !lane.again;
      if (claims.length < free) return;
    }
  }

  /** Its slot is free for another task only once the queue has released it. */
  async #take(lane: Lane, task: HeldTask): Promise<void> {
    await lane.queue.add(() => this.#run(lane, task));
    if (!lane.dry) this.#pump(lane);
  }

  async #run(lane: Lane, task: HeldTask): Promise<void> {
    const { subject } = task.value;
    const log = this.#log.child({
      taskId: task.id,
      type: task.value.type,
      ...(subject === undefined ? {} : { [`${subject.type}Id`]: subject.id }),
    });
    const attempt = new Attempt(task, lane.region.provider, this.#options, log);
    const ended = this.#see(attempt, this.#attempts.get(task.id), log);
    this.#attempts.set(task.id, { attempt, ended });
    if (this.#stopping) attempt.handBack();
    await ended;
    if (this.#attempts.get(task.id)?.attempt === attempt) this.#attempts.delete(task.id);
  }

  /**
   * Runs an attempt to its end. After being frozen for longer than a lease, the process can claim the same task that an
   * `earlier` attempt still considers its own: that one ends first, so the two never work at the same time.
   */
  async #see(
    attempt: Attempt,
    earlier: { attempt: Attempt; ended: Promise<void> } | undefined,
    log: Log,
  ): Promise<void> {
    earlier?.attempt.revoke();
    await earlier?.ended;
    try {
      const { retryAt } = await attempt.run();
      if (retryAt !== undefined) this.#planFor(retryAt);
    } catch (error) {
      if (error instanceof LeaseLost) log.warn({ err: error }, 'another process has the task');
      else log.error({ err: error }, 'the task could not be stored; its lease will expire');
    }
  }

  /** Polls the queue no later than the given time. */
  #planFor(time: number): void {
    if (this.#stopping) return;
    const wait = time - Date.now();
    if (wait >= this.#options.poll) return;
    this.#plan(Math.max(wait, 0) + 1);
  }
}
