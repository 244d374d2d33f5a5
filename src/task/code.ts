/** What one type of task does: the contract between the runner and the files of the task types. */
import type { Document } from '../data/store/port.js';
import type { Log } from '../model/log.js';
import type { SubjectOf, SubjectTypeOf, TaskInput, TaskRecord, TaskType } from '../model/task.js';
import type { TaskResult } from '../model/task-effects.js';
import type { RegionProvider } from '../region/provider.js';
import type { ImageServices } from './image-services.js';
import type { WebhookServices } from './webhook-services.js';

/** One attempt at a task, as seen by its code. */
export interface Work<T extends TaskType = TaskType> {
  /** The task as claimed. */
  readonly task: { readonly id: string; readonly value: TaskRecord; children(): Promise<TaskRecord[]> };
  /** The input of the request, validated against the schema of the type. */
  readonly input: TaskInput<T>;
  /** As it was at the beginning of the attempt; undefined for a type without a subject. */
  readonly subject: SubjectTypeOf<T> extends undefined ? undefined : Document<SubjectOf<T>>;
  /** Of the task's region; tasks of the site have none, and must not use it. */
  readonly provider: RegionProvider;
  /** What tasks of the site work with. */
  readonly services: WebhookServices | undefined;
  /** What tasks on images work with. */
  readonly images: ImageServices | undefined;
  /** Aborts when the lease is lost, the task is aborted or the process shuts down. Pass it on. */
  readonly signal: AbortSignal;
  /**
   * Runs a named step and records it. Steps must be idempotent: an attempt may repeat what an earlier one did. `change`
   * is applied to the subject when the step begins. Its end is stored before the next step begins or the attempt ends.
   */
  step<R>(name: string, act: () => Promise<R>, change?: (subject: SubjectOf<T>) => SubjectOf<T>): Promise<R>;
}

/** Thrown by the code of a task that can do nothing before a time (ms since 1970), which is no failure. */
export class NotYet extends Error {
  override readonly name = 'NotYet';
  readonly until: number;

  constructor(until: number) {
    super('The task waits');
    this.until = until;
  }
}

/** When failed attempts are retried. Omitted members are taken from the configuration (`tasks`). */
export interface RetryRule {
  /** Number of failed attempts after which a task fails for good. */
  maxAttempts: number;
  /** Milliseconds before the second attempt, doubling up to backoffMax, with jitter. */
  backoff: number;
  backoffMax: number;
}

/** What the code of a failed task gets. */
export interface Inspection {
  /** Of the subject. */
  readonly id: string;
  readonly task: TaskRecord;
  readonly provider: RegionProvider;
  readonly signal: AbortSignal;
  readonly log: Log;
}

export interface TaskCode<T extends TaskType = TaskType> {
  readonly type: T;
  readonly retry?: Partial<RetryRule>;
  /** Does the work. Its result changes the subject through the type's `onResult` (`src/model/task-effects.ts`). */
  run(work: Work<T>): Promise<TaskResult<T>>;
  /** After a failure for good, or an abort: removes what the task has made beside its subject. Must not reject. */
  undo?: (failed: Inspection) => Promise<void>;
  /** Determines the state of the subject after a failure or an abort; then `onFailed` follows. Must not reject. */
  inspect?: (failed: Inspection) => Promise<(subject: SubjectOf<T>) => SubjectOf<T>>;
}
