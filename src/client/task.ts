/** Waiting for tasks. */
import type { Task } from '../model/task.js';
import type { Client } from './client.js';
import { pause as sleep } from './pause.js';

/** Milliseconds between two looks at a task that is watched: they grow. */
const firstPause = 50;
const longestPause = 1000;

/** Seconds that the server may hold a request back until the task has ended. */
const hold = 30;

export interface WaitOptions {
  /** Called with each state of the task that differs from the one before. */
  onProgress?: ((task: Task) => void) | undefined;
  /** Milliseconds. Default: no limit. */
  timeout?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Resolve also if it fails or is cancelled. */
  anyEnd?: boolean;
}

/** The time is over, but the task has not ended; it goes on. */
export class WaitTimeoutError extends Error {
  override readonly name = 'WaitTimeoutError';
  readonly task: Task;

  constructor(task: Task) {
    super(`The task ${task.id} (${task.type}) has not ended yet; it is ${task.status}.`);
    this.task = task;
  }
}

/** The task ended without success. */
export class TaskError extends Error {
  override readonly name = 'TaskError';
  readonly task: Task;

  constructor(task: Task) {
    super(`The task ${task.id} (${task.type}) ${verbs[task.status] ?? task.status}: ${causeOf(task)}`);
    this.task = task;
  }
}

const verbs: Readonly<Record<string, string>> = { failed: 'failed', cancelled: 'was cancelled' };

function causeOf({ cause }: Task): string {
  return cause === undefined ? 'no cause is known.' : `${cause.message} (${cause.code})`;
}

export function hasEnded({ status }: Task): boolean {
  return status === 'succeeded' || status === 'failed' || status === 'cancelled';
}

/** Resolves with the task once it has succeeded; rejects with TaskError if it fails or is cancelled. */
export async function waitForTask(client: Client, id: string, options: WaitOptions = {}): Promise<Task> {
  const { onProgress, timeout = Infinity, signal, anyEnd = false } = options;
  const path = `/api/v2/tasks/${encodeURIComponent(id)}`;
  const end = Date.now() + timeout;
  let pause = firstPause;
  let shown = '';
  for (;;) {
    const left = Math.floor((end - Date.now()) / 1000);
    const wait = onProgress === undefined ? { wait: Math.max(0, Math.min(hold, left)) } : {};
    const { body: task } = await client.get<Task>(path, { signal, ...wait });
    const state = JSON.stringify(task);
    if (state !== shown) onProgress?.(task);
    shown = state;
    if (task.status === 'succeeded' || (anyEnd && hasEnded(task))) return task;
    if (hasEnded(task)) throw new TaskError(task);
    if (Date.now() >= end) throw new WaitTimeoutError(task);
    await sleep(Math.min(pause, Math.max(0, end - Date.now())), signal);
    pause = Math.min(longestPause, pause * 1.5);
  }
}
