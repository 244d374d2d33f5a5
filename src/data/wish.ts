/**
 * Separates what users request of a resource from what is observed of it. The record stores the revision of the last
 * requested change, so that If-Match can determine whether what a client read is still what it would change; and the
 * observed values that an instance has shown, so that an older GET can be sent back. Every write to an instance goes
 * through here.
 */
import { isDeepStrictEqual } from 'node:util';
import { defined, timestamp } from '../model/common.js';
import {
  type HistoryEntry,
  instanceHistoryLimit,
  type InstanceRecord,
  type ObservedMember,
  type ShownBefore,
} from '../model/instance.js';
import { observedOf, shownLimit } from '../model/instance-update.js';
import type { Standing } from '../model/standing.js';
import type { TaskRecord } from '../model/task.js';
import type { Document } from './store/port.js';

interface Wished {
  wishRevision?: number;
}

/** A record without this field counts as changed just now. */
export function standingOf({ revision, value }: Document<object>): Standing {
  const { wishRevision = revision }: Wished = value;
  return { revision, wishRevision };
}

/** The next value of an instance, updated with whether users changed it, and with the values shown before. */
export function instanceAfter(before: Document<InstanceRecord>, next: InstanceRecord): InstanceRecord {
  const shown = shownAfter(before.value, next);
  const revision = wishRevision(before, sameInstanceWish(before.value, next));
  const history = historyAfter(before.value, next);
  return {
    ...next,
    wishRevision: revision,
    ...(isCarriedOut(next) ? { doneRevision: revision } : {}),
    ...(history === undefined ? {} : { history }),
    ...(shown === undefined ? {} : { shown }),
  };
}

/** Whether the instance is what it should be, and nothing is to be done any more. */
function isCarriedOut(instance: InstanceRecord): boolean {
  const { openTasks, provisioning, powerState, desiredPower } = instance;
  const wanted = desiredPower === 'running' ? 'Running' : 'Stopped';
  return openTasks.length === 0 && provisioning.status === 'provisioned' && powerState === wanted;
}

/** Adds what has changed. */
function historyAfter(before: InstanceRecord, next: InstanceRecord): HistoryEntry[] | undefined {
  const entries: HistoryEntry[] = [];
  const time = timestamp();
  const changed = wishes.filter((member) => member !== 'desiredPower' && !same(before[member], next[member]));
  if (changed.length > 0) entries.push({ time, changed, user: next.modifiedBy ?? next.createdBy });
  const { status, message } = next.provisioning;
  if (status !== before.provisioning.status) entries.push({ time, status, ...defined({ message }) });
  const { powerState, powerMessage, boots } = next;
  if (powerState !== undefined && powerState !== before.powerState)
    entries.push({ time, powerState, ...defined({ message: powerMessage }) });
  // Unknown before, and not the first: it may be long ago.
  if (
    boots !== undefined &&
    boots > 0 &&
    (boots === 1 ? before.boots !== 1 : boots > (before.boots ?? boots))
  )
    entries.push({ time, boot: boots });
  if (entries.length === 0) return before.history;
  return [...(before.history ?? []), ...entries].slice(-instanceHistoryLimit);
}

/** Adds values that the instance no longer shows. */
function shownAfter(before: InstanceRecord, next: InstanceRecord): ShownBefore | undefined {
  if (before.shown === undefined) return undefined;
  const [shown, now] = [{ ...before.shown }, observedOf(next)];
  for (const [name, value] of Object.entries(observedOf(before)) as [ObservedMember, string][]) {
    const known = shown[name] ?? [];
    if (value !== now[name] && !known.includes(value) && known.length < shownLimit)
      shown[name] = [...known, value];
  }
  return shown;
}

/** The same for a task. */
export function taskAfter(before: Document<TaskRecord>, next: TaskRecord): TaskRecord {
  return { ...next, wishRevision: wishRevision(before, sameTaskWish(before.value, next)) };
}

function wishRevision(before: Document<Wished>, same: boolean): number {
  return same ? standingOf(before).wishRevision : before.revision + 1;
}

/** Everything that PUT, PATCH and the power verbs can change; not the deletion, after which nothing can be changed. */
export function sameInstanceWish(one: InstanceRecord, other: InstanceRecord): boolean {
  return wishes.every((member) => same(one[member], other[member]));
}

const wishes = [
  'name',
  'description',
  'tags',
  'flavorId',
  'imageId',
  'userData',
  'expiresAt',
  'deletionProtection',
  'desiredPower',
] as const satisfies readonly (keyof InstanceRecord)[];

/** Most writes leave these values as they are, so that they are identical. */
function same(one: unknown, other: unknown): boolean {
  return one === other || isDeepStrictEqual(one, other);
}

/** Whether and when it may run, whether it was aborted, and whether it was restarted. */
function sameTaskWish(one: TaskRecord, other: TaskRecord): boolean {
  return (
    one.activated === other.activated &&
    one.priority === other.priority &&
    isCalledOff(one) === isCalledOff(other) &&
    same(one.restarts, other.restarts)
  );
}

function isCalledOff({ abort, status }: TaskRecord): boolean {
  return abort === true || status === 'cancelled';
}
