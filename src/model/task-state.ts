/**
 * The task state machine: from one record to the next, without I/O. `status` is what users read; `queue` is the state
 * that workers see.
 *
 *   inactive ⇄ pending → running → succeeded | failed | cancelled, and back to pending by a restart
 */
import { timestamp } from './common.js';
import {
  attemptLimit,
  historyLimit,
  type TaskAttempt,
  type TaskCause,
  type TaskPatch,
  type TaskRecord,
  type TaskRestart,
} from './task.js';

export type TaskEnd =
  | { status: 'succeeded'; result?: unknown }
  | { status: 'failed'; cause: TaskCause }
  | { status: 'cancelled'; cause: TaskCause };

/** An unfinished task that no worker holds, in its queue state. `blocked`: another task of its subject comes first. */
export function placed(task: TaskRecord, blocked: boolean, now = Date.now()): TaskRecord {
  const { owner, leaseUntil, ...rest } = task;
  // A task that is to be ended waits only for its turn.
  const held = !task.activated && task.abort !== true;
  const early = (task.runAfter ?? 0) > now;
  return {
    ...rest,
    status: held ? 'inactive' : 'pending',
    queue: blocked ? 'blocked' : held ? 'inactive' : early ? 'waiting' : 'ready',
  };
}

export function claimed(task: TaskRecord, lease: { owner: string; until: number }, now: Date): TaskRecord {
  const { runAfter, ...rest } = task;
  const number = (task.attempts.at(-1)?.number ?? 0) + 1;
  return {
    ...rest,
    status: 'running',
    queue: 'running',
    startTime: task.startTime ?? timestamp(now),
    owner: lease.owner,
    leaseUntil: lease.until,
    token: task.token + 1,
    attempts: [...task.attempts, { number, startTime: timestamp(now) }].slice(-attemptLimit),
  };
}

/** After a failed attempt, until the time (ms since 1970) of the next one. */
export function retried(task: TaskRecord, cause: TaskCause, runAfter: number): TaskRecord {
  return placed(
    { ...task, ...after(task, runAfter), attempts: closed(task.attempts, 'failed', cause) },
    false,
  );
}

/** Why an attempt did not end by itself, for readers. */
export const interruptions = {
  interrupted: {
    code: 'interrupted',
    message: 'The process that ran the task died or stopped responding; another one continues.',
    retryable: true,
  },
  handed_over: {
    code: 'handed_over',
    message: 'The process handed the task over to another one.',
    retryable: true,
  },
} as const satisfies Record<string, TaskCause>;

/** After an attempt that its process did not finish: it died, or handed the task over in order, possibly for later. */
export function interrupted(task: TaskRecord, outcome: keyof typeof interruptions, runAfter = 0): TaskRecord {
  const pause = outcome === 'interrupted' ? after(task, runAfter) : { runAfter };
  const attempts = closed(task.attempts, outcome, interruptions[outcome]);
  return placed({ ...task, ...pause, attempts }, false);
}

/** Without its current attempt, until it is worth another one (ms since 1970). To its readers it goes on. */
export function postponed(task: TaskRecord, runAfter: number): TaskRecord {
  const next = placed({ ...task, ...after(task, runAfter), attempts: task.attempts.slice(0, -1) }, false);
  return next.queue === 'waiting' ? { ...next, status: 'running' } : next;
}

/** A pause before the next attempt; a task that is to be ended does not need one. */
function after({ abort }: TaskRecord, runAfter: number): Pick<TaskRecord, 'runAfter'> {
  return { runAfter: abort === true ? 0 : runAfter };
}

export function ended(task: TaskRecord, end: TaskEnd): TaskRecord {
  const { owner, leaseUntil, runAfter, ...rest } = task;
  const cause = end.status === 'succeeded' ? undefined : end.cause;
  return {
    ...rest,
    status: end.status,
    queue: 'done',
    endTime: timestamp(),
    attempts: closed(task.attempts, end.status, cause),
    ...(cause === undefined ? {} : { cause }),
  };
}

/** The task, marked to be ended; without a name if a later request made it obsolete. */
export function abortAsked(task: TaskRecord, by?: string): TaskRecord {
  // A task that waits for its next attempt need not wait any longer.
  const { runAfter, ...rest } = task;
  const asked = { ...rest, abort: true, ...(by === undefined ? {} : { abortedBy: by }) };
  return task.queue === 'running' ? asked : placed(asked, task.queue === 'blocked');
}

/** A negative priority makes the task inactive, unless the same patch activates it. */
export function patched(task: TaskRecord, patch: TaskPatch): TaskRecord {
  const priority = patch.priority ?? task.priority;
  const activated =
    patch.activated ?? (patch.priority !== undefined && priority < 0 ? false : task.activated);
  const next = { ...task, priority, activated };
  return task.queue === 'running' ? next : placed(next, task.queue === 'blocked');
}

/** The ended task, restarted with a new series of attempts. */
export function restarted(task: TaskRecord, restart: TaskRestart): TaskRecord {
  const { endTime, cause, runAfter, abort, abortedBy, ...rest } = task;
  const again = {
    ...rest,
    activated: true,
    restarts: [...(task.restarts ?? []), restart].slice(-historyLimit),
    attemptBase: task.attempts.at(-1)?.number ?? 0,
  };
  return placed(again, false);
}

/** Attempts of the current series with this outcome. */
export function attemptsEnded(task: TaskRecord, outcome: NonNullable<TaskAttempt['outcome']>): number {
  const base = task.attemptBase ?? 0;
  return task.attempts.filter((attempt) => attempt.number > base && attempt.outcome === outcome).length;
}

function closed(
  attempts: readonly TaskAttempt[],
  outcome: NonNullable<TaskAttempt['outcome']>,
  cause?: TaskCause,
): TaskAttempt[] {
  const last = attempts.at(-1);
  if (last === undefined || last.endTime !== undefined) return [...attempts];
  const end = { ...last, endTime: timestamp(), outcome, ...(cause === undefined ? {} : { cause }) };
  return [...attempts.slice(0, -1), end];
}
