/** What a task means for the record of its instance: when it is accepted, and when it is called off before it began. */
import { timestamp } from './common.js';
import { ApiError } from './error.js';
import type { InstanceRecord } from './instance.js';
import type { PowerVerb } from './power.js';
import { leadsOn } from './power.js';
import type { TaskInput, TaskRecord, TaskType } from './task.js';

/** The instance once the task is accepted. To make a machine, also anew, wishes nothing about its power. */
export function wished(instance: InstanceRecord, type: TaskType): InstanceRecord {
  switch (type) {
    case 'instance.create':
      return {
        ...instance,
        provisioning: { status: 'pending' },
        powerState: 'Pending',
      };
    case 'instance.replace':
      return {
        ...instance,
        provisioning: { status: 'provisioning' },
        powerState: 'Rebuilding',
      };
    case 'instance.delete':
      return { ...instance, deletionTime: timestamp(), provisioning: { status: 'deprovisioning' } };
    case 'instance.start':
      return { ...instance, desiredPower: 'running', powerState: 'Pending' };
    case 'instance.stop':
      return { ...instance, desiredPower: 'stopped', powerState: 'Stopping' };
    case 'instance.reboot':
      return { ...instance, desiredPower: 'running', powerState: 'Stopping' };
    default:
      return instance;
  }
}

/**
 * What the work of a task of this type makes of the instance. Once that is being deleted, only its deletion says how far it
 * is: a create may end after the delete was accepted, and before it learns of that.
 */
export function worked<R extends InstanceRecord | undefined>(
  instance: InstanceRecord,
  type: TaskType,
  change: (instance: InstanceRecord) => R,
): R {
  const next = change(instance);
  if (next === undefined || instance.deletionTime === undefined || type === 'instance.delete') return next;
  return { ...next, provisioning: instance.provisioning };
}

/** What is put back, or said, when the task is cancelled before its first attempt. `before`: as it was when asked. */
export function calledOff(before: InstanceRecord, type: TaskType): Partial<InstanceRecord> {
  const { desiredPower, powerState, provisioning, flavorId, imageId, flavor = null } = before;
  const power = { desiredPower, ...(powerState === undefined ? {} : { powerState }) };
  switch (type) {
    case 'instance.create': {
      const message = 'The creation was aborted. Restart its task, or delete the instance.';
      return { provisioning: { status: 'error', reason: 'Aborted', message }, powerState: 'Error' };
    }
    case 'instance.replace':
      return { ...power, provisioning, flavorId, imageId, flavor };
    case 'instance.delete': {
      // What the deletion superseded is gone, so there is no way back.
      const message = 'The deletion was aborted. Delete it again to go on.';
      return { provisioning: { status: 'error', reason: 'Aborted', message } };
    }
    case 'instance.start':
    case 'instance.stop':
    case 'instance.reboot':
      return power;
    default:
      return {};
  }
}

/**
 * The instance once the ended task is to run again; throws when it makes no sense for the instance as it is now. A
 * replacement that was cancelled before it began has been forgotten by the instance, and is wished for anew. One that has
 * begun is not: a later one may have taken its place.
 */
export function wishedAgain(instance: InstanceRecord, task: TaskRecord): InstanceRecord {
  const { type, status, attempts, input } = task;
  if (type === 'instance.replace' && status === 'cancelled' && attempts.length === 0) {
    const { flavorId, imageId } = { ...instance, ...(input as TaskInput<'instance.replace'>) };
    const flavor = flavorId === instance.flavorId ? (instance.flavor ?? null) : null;
    if (flavorId !== instance.flavorId || imageId !== instance.imageId)
      return wished({ ...instance, flavorId, imageId, flavor }, type);
  }
  checkRestart(instance, type);
  return wished(instance, type);
}

/** Throws when a task of this type makes no sense for the instance as it is now. */
function checkRestart(instance: InstanceRecord, type: TaskType): void {
  const verb = /^instance\.(start|stop|reboot)$/.exec(type)?.[1] as PowerVerb | undefined;
  if (verb !== undefined) checkPower(instance, verb);
  const making = type === 'instance.create' || type === 'instance.replace';
  if (making && instance.provisioning.status !== 'error') {
    const message = `The instance is ${instance.provisioning.status}; there is nothing left for the task to do.`;
    throw new ApiError('task_state_conflict', message);
  }
}

/** For an instance without open tasks. Throws when it is in another power state than the verb needs. */
export function checkPower({ powerState }: InstanceRecord, verb: PowerVerb): void {
  if (leadsOn(powerState, verb)) return;
  const state = powerState ?? 'in no power state';
  throw new ApiError('power_state_conflict', `The instance is ${state}; it cannot ${verb} now.`);
}
