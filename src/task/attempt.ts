/** One attempt at a claimed task: heartbeat, steps, and the decision what a failure means. */
import { observed } from '../data/observation.js';
import type { TaskQueue } from '../data/queue.js';
import { LeaseLost } from '../data/queue.js';
import type { Document } from '../data/store/port.js';
import { timestamp } from '../model/common.js';
import type { InstanceRecord } from '../model/instance.js';
import type { Log } from '../model/log.js';
import type { TaskCause, TaskRecord } from '../model/task.js';
import type { Tracer } from '../model/trace.js';
import type { RegionProvider, ServerObservation } from '../region/provider.js';
import { causeOf } from './cause.js';
import type { Work } from './code.js';
import { taskCodes } from './registry.js';

export interface AttemptOptions {
  /** Milliseconds that a claim lasts without a heartbeat. */
  lease: number;
  /** Failed attempts after which a task fails for good. */
  maxAttempts: number;
  /** Milliseconds before the second attempt, doubling up to backoffMax. */
  backoff: number;
  backoffMax: number;
  tracer: Tracer;
}

/** How an attempt ended, as far as the runner and the trace need it. */
export interface AttemptEnd {
  /** When the next attempt is due, in ms since 1970. */
  retryAt?: number;
  failed?: boolean;
}

/** Attempts that may be cut short by the end of their process before the task counts as the reason for it. */
const interruptionLimit = 10;

class Superseded extends Error {
  override readonly name = 'Superseded';
}

class HandedBack extends Error {
  override readonly name = 'HandedBack';
}

export class Attempt {
  readonly #queue: TaskQueue;
  readonly #claim: Document<TaskRecord>;
  readonly #provider: RegionProvider;
  readonly #options: AttemptOptions;
  readonly #log: Log;
  readonly #controller = new AbortController();

  constructor(
    queue: TaskQueue,
    claim: Document<TaskRecord>,
    provider: RegionProvider,
    options: AttemptOptions,
    log: Log,
  ) {
    this.#queue = queue;
    this.#claim = claim;
    this.#provider = provider;
    this.#options = options;
    this.#log = log;
  }

  /** Ends the attempt because the process shuts down; another one carries on. */
  handBack(): void {
    this.#controller.abort(new HandedBack('The process is shutting down'));
  }

  /** Something wrote the task: see whether it was asked to end. */
  look(): void {
    this.#queue.aborted(this.#claim.id).then(
      (aborted) => {
        if (aborted) this.#supersede();
      },
      (error: unknown) => this.#log.warn({ err: error }, 'cannot read the task'),
    );
  }

  /** Runs to the end of the attempt. Rejects only when the outcome could not be recorded. */
  async run(): Promise<AttemptEnd> {
    const { type, requester } = this.#claim.value;
    const heartbeat = setInterval(() => void this.#beat(), this.#options.lease / 4);
    const span = this.#options.tracer.start(`task ${type}`, 'internal', requester.traceparent);
    let failed = true;
    try {
      const end = await this.#run();
      failed = end.failed === true;
      return end;
    } finally {
      clearInterval(heartbeat);
      span.end({ failed, attributes: { 'copse.task.id': this.#claim.id } });
    }
  }

  async #run(): Promise<AttemptEnd> {
    const { value: task } = this.#claim;
    if (task.abort === true) this.#supersede();
    const interruptions = task.attempts.filter((attempt) => attempt.outcome === 'interrupted').length;
    if (interruptions >= interruptionLimit) {
      const message = `The task was cut short ${interruptions} times by the end of its process and is not tried again.`;
      return this.#fail({ code: 'attempts_exhausted', message, retryable: false });
    }
    const instance = await this.#queue.subject(this.#claim);
    if (instance === undefined) return this.#cancel('The instance is gone.');
    this.#log.info({ attempt: task.attempts.length }, 'task begins');
    let change;
    try {
      this.#controller.signal.throwIfAborted();
      change = await taskCodes[task.type].run(this.#work(instance));
    } catch (error) {
      return await this.#afterFailure(error);
    }
    await this.#queue.finish(this.#claim, { status: 'succeeded' }, change);
    this.#log.info({}, 'task succeeded');
    return {};
  }

  #work(instance: Document<InstanceRecord>): Work {
    const { signal } = this.#controller;
    return {
      task: this.#claim,
      instance,
      provider: this.#provider,
      signal,
      step: (name, act) => this.#step(name, act),
      change: (change) => this.#queue.changeSubject(this.#claim, change),
    };
  }

  async #step<R>(name: string, act: () => Promise<R>): Promise<R> {
    this.#controller.signal.throwIfAborted();
    const step = { name, attempt: this.#claim.value.attempts.at(-1)?.number ?? 1, startTime: timestamp() };
    await this.#queue.recordStep(this.#claim, step);
    let outcome: 'succeeded' | 'failed' = 'failed';
    try {
      const result = await act();
      outcome = 'succeeded';
      return result;
    } finally {
      await this.#queue.recordStep(this.#claim, { ...step, endTime: timestamp(), outcome });
    }
  }

  async #afterFailure(error: unknown): Promise<AttemptEnd> {
    const { signal } = this.#controller;
    const reason: unknown = signal.aborted ? signal.reason : error;
    if (reason instanceof LeaseLost) throw reason;
    if (reason instanceof HandedBack) {
      await this.#queue.giveBack(this.#claim);
      this.#log.info({}, 'task handed back');
      return {};
    }
    if (reason instanceof Superseded) return this.#cancel('A later request made the task pointless.');
    const cause = causeOf(error);
    const failures = this.#claim.value.attempts.filter((attempt) => attempt.outcome === 'failed').length + 1;
    this.#log.warn({ err: error, failures }, 'task attempt failed');
    if (!cause.retryable || failures >= this.#options.maxAttempts) return this.#fail(cause);
    const retryAt = Math.ceil(Date.now() + this.#pause(failures));
    await this.#queue.retryLater(this.#claim, cause, retryAt);
    return { retryAt, failed: true };
  }

  /** Exponential backoff with full jitter below and half of the span kept, so that retries neither bunch nor rush. */
  #pause(failures: number): number {
    const span = Math.min(this.#options.backoff * 2 ** (failures - 1), this.#options.backoffMax);
    return span / 2 + Math.random() * (span / 2);
  }

  async #fail(cause: TaskCause): Promise<AttemptEnd> {
    const { failed } = taskCodes[this.#claim.value.type];
    const seen = await this.#observation();
    await this.#queue.finish(this.#claim, { status: 'failed', cause }, (instance) =>
      failed(seen === undefined ? instance : observed(instance, seen), cause),
    );
    this.#log.error({ cause }, 'task failed');
    return { failed: true };
  }

  /** What the machine does after a failure, so that the record does not go on to say what was hoped for. */
  async #observation(): Promise<ServerObservation | undefined> {
    try {
      const { subject } = this.#claim.value;
      const [seen] = await this.#provider.describeServers([subject.id], this.#controller.signal);
      return seen;
    } catch (error) {
      this.#log.warn({ err: error }, 'cannot observe the machine after a failure; the observer will');
      return undefined;
    }
  }

  async #cancel(message: string): Promise<AttemptEnd> {
    const cause: TaskCause = { code: 'superseded', message, retryable: false };
    await this.#queue.finish(this.#claim, { status: 'cancelled', cause }, (instance) => instance);
    this.#log.info({}, 'task cancelled');
    return {};
  }

  #supersede(): void {
    this.#controller.abort(new Superseded('A later request made the task pointless'));
  }

  async #beat(): Promise<void> {
    try {
      const { abort } = await this.#queue.renew(this.#claim);
      if (abort) this.#supersede();
    } catch (error) {
      if (error instanceof LeaseLost) this.#controller.abort(error);
      else this.#log.warn({ err: error }, 'cannot renew the lease');
    }
  }
}
