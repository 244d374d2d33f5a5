/** What each task type means for the record of its subject, from acceptance on. */
import { defined, timestamp } from './common.js';
import { ApiError } from './error.js';
import type { InstanceRecord } from './instance.js';
import { type Observation, observed } from './observation.js';
import { leadsOn, type PowerVerb } from './power.js';
import type {
  Subject,
  SubjectOf,
  SubjectRecord,
  TaskCause,
  TaskInput,
  TaskRecord,
  TaskType,
} from './task.js';
import { type ImageRecord, made, type MadeImage, unmade } from './stored-image.js';
import { afterSending, type Sent, type WebhookRecord } from './webhook.js';

/** `destroys`: the machine or the content of its disk is lost. */
export type Disruption = 'stops' | 'restarts' | 'destroys';

/** The five points at which a task changes its subject, and which open tasks give way to it. */
export interface TaskEffects<R extends Subject> {
  /** The subject once the task is accepted. Throws if the subject cannot accept it now. */
  onAccepted(subject: R): R;
  /** The subject after the task has succeeded, given the result of its work; undefined removes the record. */
  onResult(subject: R, result: never): R | undefined;
  /** The subject after the task has failed for good, or was aborted after it had started. */
  onFailed(subject: R, cause: TaskCause): R;
  /**
   * What is restored, or reported, when the task is cancelled before its first attempt. `before`: the state at the time
   * of the request.
   */
  onCancelled(before: R): Partial<R>;
  /** The subject once the ended task is accepted again. Throws if there is nothing left to do. */
  onRestart(subject: R, task: TaskRecord): R;
  /** Whether acceptance ends this open task of the subject. Without it, every open task blocks the request. */
  supersedes?: (open: TaskRecord) => boolean;
  /** What the task does to a guest that runs. Without it: nothing that its user would notice. */
  disrupts?: Disruption;
}

/** Of a task without a subject. */
const noEffects = {
  onAccepted: same,
  onResult: same,
  onFailed: same,
  onCancelled: () => ({}),
  onRestart: same,
};

/** A missing row for a type is a compile error. */
export const taskEffects = {
  'instance.create': {
    onAccepted: (instance) => ({ ...instance, provisioning: { status: 'pending' }, powerState: 'Pending' }),
    onResult: provisioned,
    onFailed: provisioningFailed,
    // There is nothing to restore.
    onCancelled: () => ({
      ...aborted('The creation was aborted. Restart its task, or delete the instance.'),
      powerState: 'Error',
    }),
    onRestart: unprovisioned,
  },
  'instance.replace': {
    onAccepted: (instance) => ({
      ...instance,
      provisioning: { status: 'provisioning' },
      powerState: 'Rebuilding',
    }),
    onResult: provisioned,
    onFailed: provisioningFailed,
    onCancelled: (before) => {
      const { provisioning, flavorId, imageId, flavor = null } = before;
      return { ...power(before), provisioning, flavorId, imageId, flavor };
    },
    onRestart: (instance, task) => forgottenReplacement(instance, task) ?? unprovisioned(instance),
    disrupts: 'destroys',
  },
  'instance.resize': {
    onAccepted: (instance) => instance,
    onResult: (instance, seen: Observation) => ({ ...observed(instance, seen), resizedFrom: null }),
    // The machine is what it was.
    onFailed: (instance, { message }) => ({ ...unresized(instance), powerMessage: message }),
    onCancelled: ({ flavorId, flavor = null }) => ({ flavorId, flavor, resizedFrom: null }),
    onRestart: resizedAgain,
  },
  'instance.delete': {
    onAccepted: (instance) => ({
      ...instance,
      deletionTime: timestamp(),
      provisioning: { status: 'deprovisioning' },
    }),
    onResult: () => undefined,
    onFailed: (instance, { message }) => ({
      ...instance,
      provisioning: {
        status: 'error',
        reason: 'Deprovisioning',
        message: `${message} Delete the instance again to retry.`,
      },
    }),
    // What the deletion superseded is gone, so nothing can be restored.
    onCancelled: () => aborted('The deletion was aborted. Delete the instance again to continue.'),
    onRestart: same,
    disrupts: 'destroys',
  },
  'instance.trash': {
    onAccepted: (instance) => ({
      ...instance,
      deletionTime: timestamp(),
      provisioning: { status: 'deprovisioning' },
    }),
    // Undefined: there is no machine.
    onResult: (instance, seen: Observation | undefined) =>
      seen === undefined ? instance : observed(instance, seen),
    onFailed: (instance, { message }) => ({
      ...instance,
      provisioning: {
        status: 'error',
        reason: 'Deprovisioning',
        message: `${message} Delete the instance again to retry, or restore it.`,
      },
    }),
    onCancelled: () => aborted('The deletion was aborted. Delete the instance again, or restore it.'),
    onRestart: same,
    disrupts: 'stops',
  },
  'instance.restore': {
    onAccepted: (instance) => ({
      ...instance,
      provisioning: { status: 'provisioning' },
      powerState: 'Pending',
    }),
    onResult: provisioned,
    onFailed: provisioningFailed,
    // It is in the trash again.
    onCancelled: (before) => {
      const { provisioning, deletionTime, trashedUntil, trashTaskId } = before;
      return { ...power(before), provisioning, ...defined({ deletionTime, trashedUntil, trashTaskId }) };
    },
    onRestart: unprovisioned,
  },
  'instance.start': powerEffects('start', { desiredPower: 'running', powerState: 'Pending' }),
  'instance.stop': {
    ...powerEffects('stop', { desiredPower: 'stopped', powerState: 'Stopping' }),
    // It begins with a stop itself.
    supersedes: isSoftReboot,
    disrupts: 'stops',
  },
  'instance.reboot': {
    ...powerEffects('reboot', { desiredPower: 'running', powerState: 'Stopping' }),
    disrupts: 'restarts',
  },
  'actions.follow': noEffects,
  'instance.snapshot': {
    onAccepted: withDisk,
    // The end of the task is stored in the image (data/task-image.ts); the instance stays as it is.
    onResult: (...[instance]: [InstanceRecord, MadeImage]) => instance,
    onFailed: same,
    onCancelled: () => ({}),
    onRestart: same,
  },
  'image.check': {
    onAccepted: (image) => ({ ...image, state: 'creating', progress: 100 }),
    onResult: (image, found: MadeImage) => made(image, found),
    onFailed: (image, { message }) => unmade(image, message),
    onCancelled: ({ state }) => ({ state }),
    onRestart: same,
  },
  'image.delete': {
    onAccepted: (image) => ({ ...image, deletionTime: timestamp() }),
    onResult: () => undefined,
    onFailed: notDeleted,
    onCancelled: () => ({ message: 'The deletion was aborted. Delete the image again to continue.' }),
    onRestart: same,
  },
  'webhook.deliver': {
    onAccepted: (webhook) => ({ ...webhook, due: 0 }),
    onResult: (webhook, sent: Sent) => afterSending(webhook, sent),
    // Whatever is left is tried again by the next task.
    onFailed: laterAgain,
    // Later than a superuser who clears the queue needs; what waits is not given up.
    onCancelled: () => ({ due: Date.now() + 60_000 }),
    onRestart: same,
  },
} satisfies { readonly [T in TaskType]: TaskEffects<SubjectOf<T>> };

/** The result of the work of a task of this type. */
export type TaskResult<T extends TaskType> = T extends TaskType
  ? (typeof taskEffects)[T]['onResult'] extends (subject: never, result: infer R) => unknown
    ? R
    : never
  : never;

/** The effects of a task read from the store, for its own subject only. A type that only a newer version knows has none. */
export function effectsOf(type: TaskType): TaskEffects<SubjectRecord> {
  return Object.hasOwn(taskEffects, type) ? taskEffects[type] : noEffects;
}

export function disruptionOf(type: TaskType): Disruption | undefined {
  return effectsOf(type).disrupts;
}

/** Throws if the instance has no machine yet, or none any longer. */
function withDisk(instance: InstanceRecord): InstanceRecord {
  const { status } = instance.provisioning;
  if (status === 'provisioned') return instance;
  const message = `The instance is ${status}, not provisioned; there is no disk to make an image of.`;
  throw new ApiError('power_state_conflict', message);
}

/** An image that is in use stays as it was; of any other, the region may have removed a part. */
function notDeleted(image: ImageRecord, { code, message }: TaskCause): ImageRecord {
  const { deletionTime: _, ...living } = image;
  return code === 'in_use' ? living : { ...image, message: `${message} Delete the image again to retry.` };
}

function laterAgain(webhook: WebhookRecord): WebhookRecord {
  return { ...webhook, due: Date.now() + 60_000 };
}

function same<R extends Subject>(subject: R): R {
  return subject;
}

function powerEffects(verb: PowerVerb, asked: Pick<InstanceRecord, 'desiredPower' | 'powerState'>) {
  return {
    onAccepted: (instance: InstanceRecord) => {
      checkPower(instance, verb);
      return { ...instance, ...asked };
    },
    onResult: (instance: InstanceRecord, seen: Observation) => observed(instance, seen),
    // The instance stays in use; the observer reports the state of its machine.
    onFailed: (instance: InstanceRecord, { message }: TaskCause) => ({ ...instance, powerMessage: message }),
    onCancelled: power,
    onRestart: same,
  };
}

function unresized({ resizedFrom, ...instance }: InstanceRecord): InstanceRecord {
  return { ...instance, ...resizedFrom, resizedFrom: null };
}

/** The region knows the flavor, and refuses one whose disk is smaller. */
function resizedAgain(instance: InstanceRecord, { input }: TaskRecord): InstanceRecord {
  const { flavorId, flavor = null } = instance;
  const wanted = input as TaskInput<'instance.resize'>;
  if (wanted.flavorId !== flavorId)
    return { ...instance, flavor: null, ...wanted, resizedFrom: { flavorId, flavor } };
  throw new ApiError('task_state_conflict', 'The instance has this flavor; there is nothing left to do.');
}

function isSoftReboot({ type, input }: TaskRecord): boolean {
  return type === 'instance.reboot' && (input as TaskInput<'instance.reboot'>).hard !== true;
}

function power({ desiredPower, powerState }: InstanceRecord): Partial<InstanceRecord> {
  return { desiredPower, ...(powerState === undefined ? {} : { powerState }) };
}

/** Throws if the instance is in a power state that does not allow the verb. */
function checkPower({ powerState }: InstanceRecord, verb: PowerVerb): void {
  if (leadsOn(powerState, verb)) return;
  const state = powerState ?? 'in an unknown power state';
  throw new ApiError('power_state_conflict', `The instance is ${state}; it cannot ${verb} now.`);
}

/** Creating a machine, or creating it again, implies nothing about its desired power state. */
function provisioned(instance: InstanceRecord, seen: Observation): InstanceRecord {
  return { ...observed(instance, seen), provisioning: { status: 'provisioned' } };
}

function provisioningFailed(instance: InstanceRecord, { message }: TaskCause): InstanceRecord {
  return { ...instance, provisioning: { status: 'error', reason: 'Errored', message }, powerState: 'Error' };
}

function aborted(message: string): Pick<InstanceRecord, 'provisioning'> {
  return { provisioning: { status: 'error', reason: 'Aborted', message } };
}

/** Throws if the instance already has its machine. */
function unprovisioned(instance: InstanceRecord): InstanceRecord {
  const { status } = instance.provisioning;
  if (status === 'error') return instance;
  const message = `The instance is ${status}; there is nothing left for the task to do.`;
  throw new ApiError('task_state_conflict', message);
}

/**
 * A replacement that was cancelled before it started has been undone in the instance, and is requested again. One that
 * had started is not: a later one may have superseded it.
 */
function forgottenReplacement(
  instance: InstanceRecord,
  { status, attempts, input }: TaskRecord,
): InstanceRecord | undefined {
  if (status !== 'cancelled' || attempts.length > 0) return undefined;
  const { flavorId, imageId } = { ...instance, ...(input as TaskInput<'instance.replace'>) };
  if (flavorId === instance.flavorId && imageId === instance.imageId) return undefined;
  const flavor = flavorId === instance.flavorId ? (instance.flavor ?? null) : null;
  return { ...instance, flavorId, imageId, flavor };
}
