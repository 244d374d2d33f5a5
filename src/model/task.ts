/**
 * One durable piece of background work that a request triggered.
 *
 * Model: Evergreen's task and amboy's job. Mended: attempts are counted, a lease has a fencing token, and equal
 * requests share the task that is still open instead of failing on a used-up id.
 */
import { Type, type Static } from 'typebox';
import { Timestamp, Uuid } from './common.js';
import type { ErrorCode } from './error.js';

export const TaskStatus = Type.Union(
  [
    Type.Literal('inactive'),
    Type.Literal('pending'),
    Type.Literal('running'),
    Type.Literal('succeeded'),
    Type.Literal('failed'),
    Type.Literal('cancelled'),
  ],
  { title: 'TaskStatus' },
);
export type TaskStatus = Static<typeof TaskStatus>;

export const TaskType = Type.Union(
  [
    Type.Literal('instance.create'),
    Type.Literal('instance.replace'),
    Type.Literal('instance.delete'),
    Type.Literal('instance.start'),
    Type.Literal('instance.stop'),
    Type.Literal('instance.reboot'),
  ],
  { title: 'TaskType' },
);
export type TaskType = Static<typeof TaskType>;

const Cause = Type.Object(
  { code: Type.String(), message: Type.String(), retryable: Type.Boolean() },
  { title: 'TaskCause', additionalProperties: false },
);

const Attempt = Type.Object(
  {
    number: Type.Integer({ minimum: 1 }),
    startTime: Timestamp,
    endTime: Type.Optional(Timestamp),
    outcome: Type.Optional(
      Type.Union([
        Type.Literal('succeeded'),
        Type.Literal('failed'),
        Type.Literal('interrupted'),
        Type.Literal('cancelled'),
      ]),
    ),
    cause: Type.Optional(Cause),
  },
  { title: 'TaskAttempt', additionalProperties: false },
);

const Step = Type.Object(
  {
    name: Type.String(),
    attempt: Type.Integer({ minimum: 1 }),
    startTime: Timestamp,
    endTime: Type.Optional(Timestamp),
    outcome: Type.Optional(Type.Union([Type.Literal('succeeded'), Type.Literal('failed')])),
  },
  { title: 'TaskStep', additionalProperties: false },
);

export const Task = Type.Object(
  {
    id: Uuid,
    type: TaskType,
    status: TaskStatus,
    activated: Type.Boolean({ description: 'Whether the task may run.' }),
    priority: Type.Integer({ description: 'Higher runs first; 0-100 for members.' }),
    subject: Type.Object(
      { type: Type.Literal('instance'), id: Uuid, name: Type.String() },
      { title: 'TaskSubject', additionalProperties: false },
    ),
    organizationId: Uuid,
    projectId: Uuid,
    regionId: Uuid,
    requester: Type.Object(
      {
        user: Type.String(),
        requestId: Type.String(),
        traceparent: Type.Optional(Type.String({ description: 'W3C trace context of the request.' })),
      },
      { title: 'TaskRequester', additionalProperties: false },
    ),
    creationTime: Timestamp,
    startTime: Type.Optional(Timestamp),
    endTime: Type.Optional(Timestamp),
    retryTime: Type.Optional({ ...Timestamp, description: 'When the next attempt is due.' }),
    attempts: Type.Array(Attempt),
    steps: Type.Array(Step, { description: 'The newest 50.' }),
    cause: Type.Optional(Cause),
  },
  { title: 'Task', additionalProperties: false },
);
export type Task = Static<typeof Task>;
export type TaskCause = Static<typeof Cause> & { code: ErrorCode | 'superseded' | 'attempts_exhausted' };
export type TaskAttempt = Static<typeof Attempt>;
export type TaskStep = Static<typeof Step>;

/**
 * Where the task stands in the queue: `ready` to be claimed, `waiting` for its retry time, `blocked` behind another
 * task of the same subject, `running` under a lease, `done`.
 */
export type QueueState = 'ready' | 'waiting' | 'blocked' | 'running' | 'done';

export interface TaskRecord {
  type: TaskType;
  status: TaskStatus;
  queue: QueueState;
  activated: boolean;
  priority: number;
  subject: { type: 'instance'; id: string; name: string };
  input: Record<string, unknown>;
  organizationId: string;
  projectId: string;
  regionId: string;
  requester: { user: string; requestId: string; traceparent?: string };
  creationTime: string;
  startTime?: string;
  endTime?: string;
  /** Milliseconds since 1970: when a waiting task becomes ready. */
  runAfter?: number;
  attempts: TaskAttempt[];
  steps: TaskStep[];
  cause?: TaskCause;
  /** The process that holds the lease, how long (ms since 1970), and the fencing token of the claim. */
  owner?: string;
  leaseUntil?: number;
  token: number;
  /** Set when a later request makes this one pointless; the runner ends it at once. */
  abort?: boolean;
}

/** Steps and attempts that a record keeps: the newest. */
export const historyLimit = 50;

export function presentTask(id: string, task: TaskRecord): Task {
  return {
    id,
    type: task.type,
    status: task.status,
    activated: task.activated,
    priority: task.priority,
    subject: task.subject,
    organizationId: task.organizationId,
    projectId: task.projectId,
    regionId: task.regionId,
    requester: task.requester,
    creationTime: task.creationTime,
    ...(task.startTime === undefined ? {} : { startTime: task.startTime }),
    ...(task.endTime === undefined ? {} : { endTime: task.endTime }),
    ...(task.queue === 'waiting' && task.runAfter !== undefined
      ? { retryTime: new Date(task.runAfter).toISOString() }
      : {}),
    attempts: task.attempts,
    steps: task.steps,
    ...(task.cause === undefined ? {} : { cause: task.cause }),
  };
}
