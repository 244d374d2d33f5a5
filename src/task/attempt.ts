/** One attempt at a claimed task: heartbeats, steps, and the decision what a failure means. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type HeldTask, LeaseLost } from '../data/held-task.js';
import type { Document } from '../data/store/port.js';
import { timestamp } from '../model/common.js';
import { isOutage } from '../model/error.js';
import type { Log } from '../model/log.js';
import type { SubjectRecord, TaskCause, TaskType } from '../model/task.js';
import { effectsOf, type TaskEffects, type TaskResult } from '../model/task-effects.js';
import { attemptsEnded, interruptions } from '../model/task-state.js';
import type { Tracer } from '../model/trace.js';
import type { RegionProvider } from '../region/provider.js';
import { causeOf } from './cause.js';
import { NotYet, type RetryRule, type TaskCode, type Work } from './code.js';
import { codeOf, takes } from './registry.js';
import type { ImageServices } from './image-services.js';
import type { WebhookServices } from './webhook-services.js';

export interface AttemptOptions extends RetryRule {
  /** Number of attempts that may be interrupted by the death of their process before the task counts as the cause. */
  maxInterruptions: number;
  tracer: Tracer;
  /** What tasks of the site work with. */
  services?: WebhookServices;
  images?: ImageServices;
}

/** How an attempt ended, for the runner and the trace. */
export interface AttemptEnd {
  /** When the next attempt is due, in ms since 1970. */
  retryAt?: number;
  failed?: boolean;
}

/** Milliseconds that a region gets to report the state of a machine after a failure. */
const observationTime = 5000;

/**
 * Milliseconds between two attempts to store something while the store is unavailable: the first pause, and the
 * longest.
 */
const recording = { pause: 50, longest: 1000 };

/** Milliseconds after the grace period during which what could not be stored is still tried again. */
const handOverMs = 2000;

class AbortAsked extends Error {
  override readonly name = 'AbortAsked';
}

class HandedBack extends Error {
  override readonly name = 'HandedBack';
}

export class Attempt {
  readonly #task: HeldTask;
  readonly #provider: RegionProvider;
  readonly #options: AttemptOptions;
  readonly #log: Log;
  readonly #controller = new AbortController();
  /** The process ends: what cannot be stored now is left to the next one. */
  readonly #leaving = new AbortController();
  #beating = false;
  #handOver: NodeJS.Timeout | undefined;

  constructor(task: HeldTask, provider: RegionProvider, options: AttemptOptions, log: Log) {
    this.#task = task;
    this.#provider = provider;
    this.#options = options;
    this.#log = log;
  }

  /** Ends the attempt because the process shuts down; another process continues. */
  handBack(): void {
    this.#handOver ??= setTimeout(() => this.#leaving.abort(), handOverMs);
    this.#controller.abort(new HandedBack('The process is shutting down'));
  }

  /** Ends the attempt, which then writes nothing more: the task has been claimed again. */
  revoke(): void {
    this.#leaving.abort();
    this.#controller.abort(new LeaseLost('The task has been claimed again'));
  }

  /** The task was written: checks whether it was asked to end. */
  checkAbort(): void {
    this.#task.abort().then(
      (abort) => {
        if (abort !== undefined) this.#askAbort();
      },
      (error: unknown) => this.#log.warn({ err: error }, 'cannot read the task'),
    );
  }

  /** Runs to the end of the attempt. Rejects only if the outcome could not be stored. */
  async run(): Promise<AttemptEnd> {
    const { type, requester } = this.#task.value;
    const heartbeat = setInterval(() => void this.#beat(), this.#task.lease / 4);
    const span = this.#options.tracer.start(`task ${type}`, 'internal', requester.traceparent);
    let failed = true;
    try {
      const end = await this.#run();
      failed = end.failed === true;
      return end;
    } finally {
      clearInterval(heartbeat);
      clearTimeout(this.#handOver);
      span.end({ failed, attributes: { 'copse.task.id': this.#task.id } });
    }
  }

  async #run(): Promise<AttemptEnd> {
    const { value: task } = this.#task;
    const code = codeOf(task.type);
    if (code === undefined) return this.#putOff();
    if (task.abort === true) this.#askAbort();
    const interruptions = attemptsEnded(task, 'interrupted');
    if (interruptions >= this.#options.maxInterruptions) {
      const message = `The task was interrupted ${interruptions} times by the end of its process and is not retried.`;
      return this.#fail(code, { code: 'attempts_exhausted', message, retryable: false });
    }
    let subject: Document<SubjectRecord> | undefined;
    try {
      subject = await this.#insist(() => this.#task.subject(), this.#controller.signal);
    } catch (error) {
      return await this.#afterFailure(code, error);
    }
    if (task.subject !== undefined && subject === undefined)
      return this.#cancel('superseded', `The ${task.subject.type} no longer exists.`);
    if (!takes(task.type, task.input)) {
      const message = 'The task was stored by another version, with an input that this one does not know.';
      return this.#fail(code, { code: 'unprocessable', message, retryable: false });
    }
    this.#log.info({ attempt: task.attempts.length }, 'task started');
    let result: TaskResult<TaskType>;
    try {
      this.#controller.signal.throwIfAborted();
      result = await code.run(this.#work(subject, task.input));
    } catch (error) {
      return await this.#afterFailure(code, error);
    }
    const effects = effectsOf(code.type);
    await this.#insist(() =>
      this.#task.finish({ status: 'succeeded', result }, (now) =>
        // Of the same type as the code that returned it.
        effects.onResult(now, result as never),
      ),
    );
    this.#log.info({}, 'task succeeded');
    return {};
  }

  /** A task of a newer version waits for a process that knows its type. */
  async #putOff(): Promise<AttemptEnd> {
    const { type } = this.#task.value;
    const message = `This process does not know tasks of type ${type}; a newer one must run it.`;
    this.#log.warn({}, message);
    const retryAt = Date.now() + this.#options.backoffMax;
    await this.#insist(() => this.#task.giveBack(retryAt));
    return { retryAt, failed: true };
  }

  #work(subject: Document<SubjectRecord> | undefined, input: Work['input']): Work {
    const { signal } = this.#controller;
    const work: Omit<Work, 'subject'> & { subject: typeof subject } = {
      task: this.#task,
      input,
      subject,
      provider: this.#provider,
      services: this.#options.services,
      images: this.#options.images,
      signal,
      step: (name, act, change) => this.#step(name, act, change),
    };
    // The subject is of the type that the task is named after.
    return work as Work;
  }

  async #step<R>(
    name: string,
    act: () => Promise<R>,
    change?: (subject: SubjectRecord) => SubjectRecord,
  ): Promise<R> {
    this.#controller.signal.throwIfAborted();
    const step = { name, attempt: this.#task.value.attempts.at(-1)?.number ?? 1, startTime: timestamp() };
    await this.#insist(() => this.#task.step(step, change), this.#controller.signal);
    try {
      if (this.#task.abortAsked) this.#askAbort();
      // The process may have been frozen since the write, and another may have the task by now.
      this.#checkLease();
      this.#controller.signal.throwIfAborted();
      const result = await act();
      this.#task.stepEnded({ ...step, endTime: timestamp(), outcome: 'succeeded' });
      return result;
    } catch (error) {
      const cause = this.#causeOfStep(error);
      this.#task.stepEnded({ ...step, endTime: timestamp(), outcome: 'failed', cause });
      throw error;
    }
  }

  /** An aborted step reports why, not how its call failed. */
  #causeOfStep(error: unknown): TaskCause {
    const { signal } = this.#controller;
    const reason: unknown = signal.aborted ? signal.reason : error;
    if (reason instanceof HandedBack) return interruptions.handed_over;
    if (reason instanceof AbortAsked)
      return { code: 'aborted', message: 'The task was asked to stop.', retryable: false };
    return causeOf(error, this.#task.value.subject?.type);
  }

  async #afterFailure(code: TaskCode, error: unknown): Promise<AttemptEnd> {
    const { signal } = this.#controller;
    const reason: unknown = signal.aborted ? signal.reason : error;
    if (reason instanceof LeaseLost) throw reason;
    if (reason instanceof HandedBack) {
      await this.#insist(() => this.#task.giveBack());
      this.#log.info({}, 'task handed back');
      return {};
    }
    if (reason instanceof AbortAsked) return this.#endAborted(code);
    if (reason instanceof NotYet) {
      await this.#insist(() => this.#task.putOff(reason.until));
      return { retryAt: reason.until };
    }
    const cause = causeOf(error, this.#task.value.subject?.type);
    const failures = attemptsEnded(this.#task.value, 'failed') + 1;
    this.#log.warn({ err: error, failures }, 'task attempt failed');
    const rule = { ...this.#options, ...code.retry };
    if (!cause.retryable || failures >= rule.maxAttempts) return this.#fail(code, cause);
    const retryAt = Math.ceil(Date.now() + pause(rule, failures));
    await this.#insist(() => this.#task.retryLater(cause, retryAt));
    return { retryAt, failed: true };
  }

  /** A later request has taken over the subject; after an abort by a user none has, so its state must be recorded. */
  async #endAborted(code: TaskCode): Promise<AttemptEnd> {
    const { by } = (await this.#insist(() => this.#task.abort())) ?? {};
    await this.#undo(code, AbortSignal.timeout(observationTime));
    if (by === undefined) return this.#cancel('superseded', 'A later request made the task obsolete.');
    const asItIs = await this.#inspect(code, AbortSignal.timeout(observationTime));
    return this.#cancel('aborted', `The task was aborted by ${by}.`, (subject, cause) =>
      effectsOf(code.type).onFailed(asItIs(subject), cause),
    );
  }

  async #fail(code: TaskCode, cause: TaskCause): Promise<AttemptEnd> {
    const { signal } = this.#controller;
    const shortly = AbortSignal.any([signal, AbortSignal.timeout(observationTime)]);
    await this.#undo(code, shortly);
    const asItIs = await this.#inspect(code, shortly);
    await this.#insist(() =>
      this.#task.finish({ status: 'failed', cause }, (subject) =>
        effectsOf(code.type).onFailed(asItIs(subject), cause),
      ),
    );
    this.#log.error({ cause }, 'task failed');
    return { failed: true };
  }

  async #undo({ undo }: TaskCode, signal: AbortSignal): Promise<void> {
    const { value } = this.#task;
    if (undo === undefined || value.subject === undefined) return;
    await undo({ id: value.subject.id, task: value, provider: this.#provider, signal, log: this.#log });
  }

  /** The current state of the subject. */
  async #inspect(
    { inspect }: TaskCode,
    signal: AbortSignal,
  ): Promise<(subject: SubjectRecord) => SubjectRecord> {
    const { value } = this.#task;
    if (inspect === undefined || value.subject === undefined) return (subject) => subject;
    const { id } = value.subject;
    return inspect({ id, task: value, provider: this.#provider, signal, log: this.#log });
  }

  async #cancel(
    code: 'superseded' | 'aborted',
    message: string,
    change: TaskEffects<SubjectRecord>['onFailed'] = (subject) => subject,
  ): Promise<AttemptEnd> {
    const cause: TaskCause = { code, message, retryable: false };
    await this.#insist(() =>
      this.#task.finish({ status: 'cancelled', cause }, (subject) => change(subject, cause)),
    );
    this.#log.info({}, 'task cancelled');
    return {};
  }

  /**
   * Retries as long as the store is unavailable: an outage is not a failure of the task, and what was done to the
   * machine must be recorded. The token of the claim ensures that only this process's task is written. `until` ends
   * work that is only valid while the claim is certain.
   */
  async #insist<R>(work: () => Promise<R>, until = this.#leaving.signal): Promise<R> {
    for (let pause = recording.pause; ; pause = Math.min(pause * 2, recording.longest)) {
      try {
        return await work();
      } catch (error) {
        if (!isOutage(error) || until.aborted) throw error;
        await sleep(pause * (0.5 + Math.random() / 2), undefined, { signal: until }).catch(() => undefined);
      }
    }
  }

  #askAbort(): void {
    this.#controller.abort(new AbortAsked('The task is to end'));
  }

  async #beat(): Promise<void> {
    if (this.#beating) {
      this.#checkLease();
      return;
    }
    this.#beating = true;
    try {
      await this.#task.renew();
      if (this.#task.abortAsked) this.#askAbort();
    } catch (error) {
      if (error instanceof LeaseLost) this.#controller.abort(error);
      else this.#log.warn({ err: error }, 'cannot renew the lease');
      this.#checkLease();
    } finally {
      this.#beating = false;
    }
  }

  /** Another process may soon take over a task whose lease is not renewed: the work must have stopped by then. */
  #checkLease(): void {
    if (!this.#task.isSure) this.#controller.abort(new LeaseLost('The lease could not be renewed in time'));
  }
}

/** Exponential backoff: half of the delay is fixed, the other half random, so that retries neither cluster nor rush. */
function pause(rule: RetryRule, failures: number): number {
  const span = Math.min(rule.backoff * 2 ** (failures - 1), rule.backoffMax);
  return span / 2 + Math.random() * (span / 2);
}
