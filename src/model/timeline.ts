/** What happened to an instance, from all sources, as entries in the order of time. */
import { Type, type Static } from 'typebox';
import type { AuditRecord } from './audit.js';
import { defined, Timestamp, Uuid } from './common.js';
import type { HistoryEntry, InstanceRecord } from './instance.js';
import { isTaskType, type TaskRecord } from './task.js';

export const TimelineEntry = Type.Object(
  {
    id: Type.String({ description: 'Identifies the entry in this timeline.' }),
    time: Timestamp,
    kind: Type.Union(
      [
        Type.Literal('request'),
        Type.Literal('change'),
        Type.Literal('task'),
        Type.Literal('step'),
        Type.Literal('state'),
        Type.Literal('boot'),
      ],
      {
        description:
          '`request`: somebody asked for something; `change`: somebody changed writable members; `task` and `step`: work began or ended; `state`: the power state or the provisioning status changed; `boot`: the machine was started.',
      },
    ),
    summary: Type.String({ description: 'What happened, for people.' }),
    user: Type.Optional(Type.String({ description: 'Name of the user; `schedule` for the site itself.' })),
    requestId: Type.Optional(Type.String()),
    taskId: Type.Optional(Uuid),
    action: Type.Optional(Type.String({ description: 'The type of the task, or what was asked for.' })),
    step: Type.Optional(Type.String()),
    attempt: Type.Optional(Type.Integer({ minimum: 1 })),
    outcome: Type.Optional(Type.String({ description: 'How the task, its attempt or the step ended.' })),
    powerState: Type.Optional(Type.String()),
    provisioningStatus: Type.Optional(Type.String()),
    boot: Type.Optional(Type.Integer({ minimum: 1, description: 'Number of the boot.' })),
    changed: Type.Optional(Type.Array(Type.String(), { description: 'Names of the changed members.' })),
    message: Type.Optional(Type.String({ description: 'Why.' })),
  },
  { title: 'TimelineEntry', additionalProperties: false },
);
export type TimelineEntry = Static<typeof TimelineEntry>;

type Found<T> = readonly { id: string; value: T }[];

export function timelineOf(
  instance: InstanceRecord,
  tasks: Found<TaskRecord>,
  records: Found<AuditRecord>,
): TimelineEntry[] {
  return [
    ...tasks.flatMap(({ id, value }) => entriesOfTask(id, value)),
    ...records.flatMap(({ id, value }) => entryOfRecord(id, value)),
    ...(instance.history ?? []).map(entryOfHistory),
  ];
}

/** What a task was requested for is in the trail too, a moment later. */
function entryOfRecord(id: string, { time, action, user, requestId }: AuditRecord): TimelineEntry[] {
  if (isTaskType(action)) return [];
  const summary = `${user.name} asked for ${action}`;
  return [{ id: `audit:${id}`, time, kind: 'request', summary, user: user.name, requestId, action }];
}

function entriesOfTask(taskId: string, task: TaskRecord): TimelineEntry[] {
  const { type: action, status, cause, endTime } = task;
  const entries = [
    ...requestsOf(taskId, task),
    ...task.attempts.flatMap((attempt) => entriesOfAttempt(taskId, task, attempt)),
    ...task.steps.flatMap((step) => entriesOfStep(taskId, action, step)),
  ];
  if (endTime === undefined) return entries;
  const end = {
    id: `task:${taskId}:3`,
    time: endTime,
    kind: 'task' as const,
    summary: `${action} ${status}`,
  };
  return [...entries, { ...end, taskId, action, outcome: status, ...defined({ message: cause?.message }) }];
}

function requestsOf(taskId: string, { type: action, requester, creationTime, restarts = [] }: TaskRecord) {
  const made = { ...requester, time: creationTime, what: 'asked for' };
  const again = restarts.map((restart) => ({ ...restart, what: 'restarted' }));
  return [made, ...again].map(({ user, requestId, time, what }, index): TimelineEntry => {
    const id = `task:${taskId}:0:${padded(index)}`;
    return {
      id,
      time,
      kind: 'request',
      summary: `${user} ${what} ${action}`,
      taskId,
      action,
      user,
      requestId,
    };
  });
}

function entriesOfAttempt(
  taskId: string,
  { type: action, endTime }: TaskRecord,
  { number, startTime, endTime: end, outcome, cause }: TaskRecord['attempts'][number],
): TimelineEntry[] {
  const id = `task:${taskId}:1:${padded(number)}`;
  const attempt = { kind: 'task' as const, taskId, action, attempt: number };
  const begin = { id, time: startTime, summary: `attempt ${number} of ${action} began`, ...attempt };
  // The end of the last one is that of the task.
  if (end === undefined || end === endTime || outcome === undefined) return [begin];
  const summary = `attempt ${number} of ${action} ended: ${outcome}`;
  const why = defined({ message: cause?.message });
  return [begin, { id: `${id}:end`, time: end, summary, ...attempt, outcome, ...why }];
}

function entriesOfStep(
  taskId: string,
  action: string,
  { name, attempt, startTime, endTime: end, outcome, cause }: TaskRecord['steps'][number],
): TimelineEntry[] {
  const id = `task:${taskId}:2:${padded(attempt)}:${name}`;
  const step = { kind: 'step' as const, taskId, action, step: name, attempt };
  const begin = { id, time: startTime, summary: `${name} began`, ...step };
  if (end === undefined || outcome === undefined) return [begin];
  const why = defined({ message: cause?.message });
  return [begin, { id: `${id}:end`, time: end, summary: `${name} ${outcome}`, ...step, outcome, ...why }];
}

/** So that equal times are in order. */
function padded(number: number): string {
  return String(number).padStart(6, '0');
}

function entryOfHistory({ time, ...entry }: HistoryEntry): TimelineEntry {
  const { powerState, status, message, boot, changed, user } = entry;
  const [kind, what, summary] = told(entry);
  const members = { user, powerState, provisioningStatus: status, boot, changed, message };
  return { id: `was:${what}:${time}`, time, kind, summary, ...defined(members) };
}

function told({
  powerState,
  status,
  boot,
  changed,
  user,
}: Omit<HistoryEntry, 'time'>): [TimelineEntry['kind'], string, string] {
  if (changed !== undefined) return ['change', '0', `${user ?? 'somebody'} changed ${changed.join(', ')}`];
  if (boot !== undefined) return ['boot', `3:${padded(boot)}`, `boot ${boot}`];
  if (powerState !== undefined) return ['state', `2:${powerState}`, `the power state is ${powerState}`];
  return ['state', `1:${status ?? ''}`, `the provisioning status is ${status ?? 'unknown'}`];
}
