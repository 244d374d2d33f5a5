/**
 * One durable piece of background work that a request triggered.
 *
 * Model: Evergreen's task and amboy's job. Differences: attempts are counted, a lease has a fencing token, and equal
 * requests share the open task instead of failing on a duplicate id.
 */
import { Type, type Static } from 'typebox';
import { Name, Timestamp, Uuid } from './common.js';
import type { ErrorCode } from './error.js';
import { FlavorSpec } from './flavor.js';
import type { InstanceRecord } from './instance.js';
import type { ImageRecord } from './stored-image.js';
import type { WebhookRecord } from './webhook.js';

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

const nothing = Type.Object({}, { additionalProperties: false });

/**
 * Stands for the organization, project and region of tasks that belong to none: those of the site itself. Only
 * superusers see them, and any worker runs them.
 */
export const siteId = '00000000-0000-0000-0000-000000000000';

/** What a record must have so that tasks can work on it. */
export interface Subject {
  organizationId: string;
  projectId: string;
  /** Where its tasks run. */
  regionId: string;
  name: string;
  /** Ids of its unfinished tasks in the order in which they run. */
  openTasks?: string[];
  /** Since then it accepts no task except its deletion. */
  deletionTime?: string;
}

/** Records stored before tasks could work on them have no such member. */
export function openTaskIds({ openTasks = [] }: Subject): readonly string[] {
  return openTasks;
}

/** The types of subjects, with their records. */
export interface SubjectRecords {
  instance: InstanceRecord;
  image: ImageRecord;
  webhook: WebhookRecord;
}
export type SubjectType = keyof SubjectRecords;
export type SubjectRecord = SubjectRecords[SubjectType];

/** `busy`: the error code for requests that an open task blocks. */
export const subjectTypes: Readonly<Record<SubjectType, { busy: ErrorCode }>> = {
  instance: { busy: 'instance_busy' },
  image: { busy: 'conflict' },
  webhook: { busy: 'conflict' },
};

/**
 * Every task type, with the schema of its input. The name begins with the type of the task's subject; a task whose name begins
 * with anything else has no subject. `src/task/` has one file per type.
 */
export const taskInputs = {
  'instance.create': nothing,
  // The desired machine; the instance has the same values, unless the task is cancelled before it started.
  'instance.replace': Type.Object(
    { flavorId: Type.Optional(Uuid), imageId: Type.Optional(Uuid) },
    { additionalProperties: false },
  ),
  // The desired flavor, which the machine gets without losing its disk.
  'instance.resize': Type.Object(
    { flavorId: Uuid, flavor: Type.Optional(FlavorSpec) },
    { additionalProperties: false },
  ),
  'instance.delete': nothing,
  'instance.trash': nothing,
  'instance.restore': nothing,
  'instance.start': nothing,
  'instance.stop': nothing,
  'instance.reboot': Type.Object({ hard: Type.Optional(Type.Boolean()) }, { additionalProperties: false }),
  'instance.snapshot': Type.Object({ imageId: Uuid, name: Name }, { additionalProperties: false }),
  'image.check': nothing,
  'image.delete': nothing,
  'webhook.deliver': nothing,
  // Ends when its children have ended.
  'actions.follow': Type.Object({ verb: Type.String() }, { additionalProperties: false }),
} as const;

export type TaskType = keyof typeof taskInputs;

export function isTaskType(name: string): name is TaskType {
  return Object.hasOwn(taskInputs, name);
}
export type TaskInput<T extends TaskType> = Static<(typeof taskInputs)[T]>;

/** Undefined: the tasks of the type have no subject. */
export type SubjectTypeOf<T extends TaskType> = T extends `${infer S extends SubjectType}.${string}`
  ? S
  : undefined;
export type SubjectOf<T extends TaskType> =
  SubjectTypeOf<T> extends infer S ? (S extends SubjectType ? SubjectRecords[S] : SubjectRecord) : never;
/** The types of tasks on subjects of a type. */
export type TaskTypeOn<S extends SubjectType> = Extract<TaskType, `${S}.${string}`>;

/** The types of tasks without a subject. */
export type TaskTypeAlone = Exclude<TaskType, TaskTypeOn<SubjectType>>;

/** The type of the task that deletes a subject of this type. */
export function deletionOf(subject: SubjectType): string {
  return `${subject}.delete`;
}

export const TaskType = Type.Unsafe<TaskType>(
  Type.Union(
    Object.keys(taskInputs).map((name) => Type.Literal(name)),
    { title: 'TaskType' },
  ),
);

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
        Type.Literal('handed_over'),
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
    cause: Type.Optional(Cause),
  },
  { title: 'TaskStep', additionalProperties: false },
);

const Restart = Type.Object(
  { user: Type.String(), requestId: Type.String(), time: Timestamp },
  { title: 'TaskRestart', additionalProperties: false },
);

export const Task = Type.Object(
  {
    id: Uuid,
    type: TaskType,
    status: TaskStatus,
    activated: Type.Boolean({ description: 'Whether the task may run.' }),
    aborting: Type.Optional(
      Type.Boolean({ description: 'The task has been asked to stop, and its worker is about to end it.' }),
    ),
    priority: Type.Integer({ description: 'Higher values run first; members may set at most 100.' }),
    subject: Type.Optional(
      Type.Object(
        {
          type: Type.Unsafe<SubjectType>(
            Type.Union(Object.keys(subjectTypes).map((name) => Type.Literal(name))),
          ),
          id: Uuid,
          name: Type.String(),
        },
        { title: 'TaskSubject', additionalProperties: false },
      ),
    ),
    parentId: Type.Optional({ ...Uuid, description: 'The task that follows this one and others.' }),
    children: Type.Optional(Type.Array(Uuid, { description: 'The tasks that this one follows.' })),
    organizationId: { ...Uuid, description: 'Zeros, like project and region: a task of the site itself.' },
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
    restarts: Type.Optional(
      Type.Array(Restart, { description: 'Who restarted the task, and when; the newest 50.' }),
    ),
    creationTime: Timestamp,
    startTime: Type.Optional(Timestamp),
    endTime: Type.Optional(Timestamp),
    retryTime: Type.Optional({ ...Timestamp, description: 'When the next attempt is due.' }),
    attempts: Type.Array(Attempt, { description: 'The newest 100; numbering continues after a restart.' }),
    steps: Type.Array(Step, { description: 'The newest 50.' }),
    cause: Type.Optional(Cause),
  },
  { title: 'Task', additionalProperties: false },
);
export type Task = Static<typeof Task>;
export type TaskCause = Static<typeof Cause> & {
  code:
    | ErrorCode
    | 'superseded'
    | 'aborted'
    | 'children_failed'
    | 'attempts_exhausted'
    | 'interrupted'
    | 'handed_over';
};
export type TaskAttempt = Static<typeof Attempt>;
export type TaskStep = Static<typeof Step>;

export type TaskRestart = Static<typeof Restart>;

/**
 * What a client may change of a task. Model: Evergreen's TaskExecutionPatchHandler; null is refused, not treated as
 * absent.
 */
export const TaskPatch = Type.Object(
  {
    activated: Type.Optional(
      Type.Boolean({
        description:
          'Whether the task may run. The current attempt of a running task continues; the next one waits.',
      }),
    ),
    priority: Type.Optional(
      Type.Integer({
        minimum: -1_000_000_000,
        maximum: 1_000_000_000,
        description:
          'Higher values run first. Values above 100 require a superuser. A negative value makes the task inactive, unless `activated` is true.',
      }),
    ),
  },
  { title: 'TaskPatch', additionalProperties: false, minProperties: 1 },
);
export type TaskPatch = Static<typeof TaskPatch>;

/** Highest priority that members may set. */
export const priorityCeiling = 100;

/**
 * The state of the task in the queue: `ready` to be claimed, `waiting` for its retry time, `inactive` until it is
 * activated, `blocked` behind another task of the same subject, `running` under a lease, `done`.
 */
export type QueueState = 'ready' | 'waiting' | 'inactive' | 'blocked' | 'running' | 'done';

export interface TaskRecord {
  type: TaskType;
  status: TaskStatus;
  queue: QueueState;
  activated: boolean;
  priority: number;
  /** What it works on, if it is one thing that has tasks of its own. */
  subject?: { type: SubjectType; id: string; name: string };
  input: object;
  parentId?: string;
  children?: string[];
  organizationId: string;
  projectId: string;
  regionId: string;
  requester: { user: string; requestId: string; traceparent?: string };
  /** The API key with which it was requested, if that sees only some instances: it also sees its own tasks. */
  keyId?: string;
  creationTime: string;
  startTime?: string;
  endTime?: string;
  /** Milliseconds since 1970: when a waiting task becomes ready. */
  runAfter?: number;
  attempts: TaskAttempt[];
  steps: TaskStep[];
  cause?: TaskCause;
  /** The process that holds the lease, the end of the lease (ms since 1970), and the fencing token of the claim. */
  owner?: string;
  leaseUntil?: number;
  token: number;
  /** The revision that last changed what users may write. */
  wishRevision?: number;
  /** Set when the task is to be ended; its worker ends it at once. */
  abort?: boolean;
  /** Who aborted it; absent if a later request made it obsolete. */
  abortedBy?: string;
  /** Members of the subject's record to restore if the task is cancelled before it started. */
  ifCancelled?: object;
  restarts?: TaskRestart[];
  /** Number of the last attempt before the last restart: only later ones count against the limits. */
  attemptBase?: number;
}

/** Maximum number of stored steps: the newest. */
export const historyLimit = 50;
/** Maximum number of stored attempts: more than the limits of one series allow. */
export const attemptLimit = 100;

export function presentTask(id: string, task: TaskRecord): Task {
  return {
    id,
    type: task.type,
    status: task.status,
    activated: task.activated,
    ...(task.abort === true && task.queue !== 'done' ? { aborting: true } : {}),
    priority: task.priority,
    ...(task.subject === undefined ? {} : { subject: task.subject }),
    ...(task.parentId === undefined ? {} : { parentId: task.parentId }),
    ...(task.children === undefined ? {} : { children: task.children }),
    organizationId: task.organizationId,
    projectId: task.projectId,
    regionId: task.regionId,
    requester: task.requester,
    ...(task.restarts === undefined ? {} : { restarts: task.restarts }),
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
