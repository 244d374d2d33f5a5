/** What one type of task does: the contract between the runner and the files of the task types. */
import type { Document } from '../data/store/port.js';
import type { InstanceRecord } from '../model/instance.js';
import type { Log } from '../model/log.js';
import type { TaskInput, TaskRecord, TaskType } from '../model/task.js';
import type { TaskResult } from '../model/task-effects.js';
import type { RegionProvider } from '../region/provider.js';

/** One attempt at a task, as its code sees it. */
export interface Work<T extends TaskType = TaskType> {
  /** The task as it was claimed. */
  readonly task: { readonly id: string; readonly value: TaskRecord };
  /** What the request asked for; it has passed the schema of the type. */
  readonly input: TaskInput<T>;
  /** The instance as it was when the attempt began. */
  readonly instance: Document<InstanceRecord>;
  readonly provider: RegionProvider;
  /** Aborts when the lease is lost, the task is aborted or the process shuts down. Pass it on. */
  readonly signal: AbortSignal;
  /**
   * Runs a named step and records it. Steps must be idempotent: an attempt may repeat what an earlier one did. `change` says
   * what its beginning makes of the instance. Its end is stored before the next step begins or the attempt ends.
   */
  step<R>(
    name: string,
    act: () => Promise<R>,
    change?: (instance: InstanceRecord) => InstanceRecord,
  ): Promise<R>;
}

/** When failed attempts are repeated. What a type leaves out is as configured (`tasks`). */
export interface RetryRule {
  /** Failed attempts after which a task fails for good. */
  maxAttempts: number;
  /** Milliseconds before the second attempt, doubling up to backoffMax, with jitter. */
  backoff: number;
  backoffMax: number;
}

/** What is known to the code of a task that has failed. */
export interface Inspection extends Pick<Work, 'task' | 'provider' | 'signal'> {
  readonly log: Log;
}

export interface TaskCode<T extends TaskType = TaskType> {
  readonly type: T;
  readonly retry?: Partial<RetryRule>;
  /** Does the work. What it gives changes the instance as `onResult` of the type says (`src/model/task-effects.ts`). */
  run(work: Work<T>): Promise<TaskResult<T>>;
  /** Asks how the instance is after a failure or an abort, and says so; then `onFailed` follows. Must not reject. */
  inspect: (failed: Inspection) => Promise<(instance: InstanceRecord) => InstanceRecord>;
}
