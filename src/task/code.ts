/** What one type of task does: the contract between the runner and the files of the task types. */
import type { InstanceChange } from '../data/task-end.js';
import type { Document } from '../data/store/port.js';
import type { InstanceRecord } from '../model/instance.js';
import type { TaskCause, TaskInput, TaskRecord, TaskType } from '../model/task.js';
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

export interface TaskCode<T extends TaskType = TaskType> {
  readonly type: T;
  readonly retry?: Partial<RetryRule>;
  /** Does the work and says what its success makes of the instance (undefined removes the record). */
  run(work: Work<T>): Promise<InstanceChange>;
  /** What it makes of the instance that the task failed for good, or was aborted once it had begun. */
  failed: (instance: InstanceRecord, cause: TaskCause) => InstanceRecord;
}

/** A power verb that failed leaves a working record; what the machine does now is for the observer to tell. */
export function powerFailed(instance: InstanceRecord, cause: TaskCause): InstanceRecord {
  return { ...instance, powerMessage: cause.message };
}

/** A machine that could not be made. */
export function provisioningFailed(instance: InstanceRecord, cause: TaskCause): InstanceRecord {
  return {
    ...instance,
    provisioning: { status: 'error', reason: 'Errored', message: cause.message },
    powerState: 'Error',
  };
}
