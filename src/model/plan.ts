/** What a change of an instance would do, told without doing it. */
import { isDeepStrictEqual } from 'node:util';
import { Type, type Static } from 'typebox';
import { defined, Timestamp, Uuid } from './common.js';
import { type InstanceRecord, presentInstance } from './instance.js';
import { disruptionOf } from './task-effects.js';
import { TaskType } from './task.js';

/** Milliseconds for which a plan can be confirmed. */
export const planLifetime = 600_000;

export const PlanId = Type.String({
  pattern: '^[0-9a-z]{1,16}\\.[A-Za-z0-9_-]{43}$',
  examples: ['mii4dcxt.HqR4kYqUu0r3Tn0xNq0cSmbVYcYz0j1wWn4xw2T7l5E'],
  description: 'Sent as `planID`, makes the request fail if it would do anything else than planned.',
});

const PlannedChange = Type.Object(
  {
    pointer: Type.String({ description: 'JSON pointer (RFC 6901) to the member of the instance.' }),
    from: Type.Optional(Type.Unknown({ description: 'Absent: there is no such member yet.' })),
    to: Type.Optional(Type.Unknown({ description: 'Absent: the member is removed.' })),
  },
  { title: 'PlannedChange', additionalProperties: false },
);
export type PlannedChange = Static<typeof PlannedChange>;

export const Plan = Type.Object(
  {
    action: Type.String({
      description:
        'The last part of the type of the task, such as `replace`; `update` if no task is needed, `none` if nothing would change or the same task is already in progress.',
    }),
    instanceId: Type.Optional(Uuid),
    taskType: Type.Optional(TaskType),
    changes: Type.Array(PlannedChange, {
      description: 'What changes at once; the task changes the state of the machine from there.',
    }),
    restarts: Type.Boolean({
      description: 'Whether a guest that is running is shut down or reset, and started again.',
    }),
    destroys: Type.Boolean({ description: 'Whether the machine or the content of its disk is lost.' }),
    planId: Type.Optional(PlanId),
    validUntil: Type.Optional({ ...Timestamp, description: 'Until then `planId` is accepted.' }),
  },
  { title: 'Plan', additionalProperties: false },
);
export type Plan = Static<typeof Plan>;

/** What a request is about to store of an instance. */
export interface Intent {
  id: string;
  /** Absent: the instance is created. */
  before?: InstanceRecord;
  after: InstanceRecord;
  /** The task that carries it out, if it needs one. */
  task?: TaskType | undefined;
}

/** Nothing would change. */
export function emptyPlan(instanceId: string): Plan {
  return { action: 'none', instanceId, changes: [], restarts: false, destroys: false };
}

export function planOf({ id, before, after, task }: Intent): Plan {
  const disruption = task === undefined ? undefined : disruptionOf(task);
  const isUp = before?.desiredPower === 'running' && after.deletionTime === undefined;
  return defined({
    action: task?.slice(task.indexOf('.') + 1) ?? 'update',
    instanceId: before === undefined ? undefined : id,
    taskType: task,
    changes: changesBetween(before && presentInstance(id, before), presentInstance(id, after)),
    restarts: isUp && (disruption === 'restarts' || disruption === 'destroys'),
    destroys: disruption === 'destroys',
  });
}

/** Whether it stops, restarts or deletes what runs, now or by an earlier expiry. */
export function isDisruptive({ before, after, task }: Intent): boolean {
  if (before === undefined) return false;
  if (task !== undefined && disruptionOf(task) !== undefined) return true;
  const [was, is] = [before.expiresAt, after.expiresAt].map((at = '9999') => at);
  return String(is) < String(was);
}

/** Members that differ with every request, or tell of it and not of the instance. */
const passing = new Set([
  '/metadata/id',
  '/metadata/creationTime',
  '/metadata/modifiedTime',
  '/metadata/modifiedBy',
  '/metadata/deletionTime',
  '/metadata/healthStatus',
  '/status/taskId',
  '/status/generation',
  '/status/observedGeneration',
]);

type Members = Record<string, unknown>;

/** The members that differ; objects member by member, arrays as a whole. */
function changesBetween(before: object | undefined, after: object, path = ''): PlannedChange[] {
  const [from, to] = [(before ?? {}) as Members, after as Members];
  const names = [...new Set([...Object.keys(from), ...Object.keys(to)])];
  return names.flatMap((name): PlannedChange[] => {
    const pointer = `${path}/${name}`;
    const [was, is] = [from[name], to[name]];
    if (passing.has(pointer) || isDeepStrictEqual(was, is)) return [];
    if (isPlain(is) && (was === undefined || isPlain(was))) return changesBetween(was, is, pointer);
    return [defined({ pointer, from: was, to: is })];
  });
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
