/** From a PUT or PATCH of an instance to its next record, or to the reason why it is refused. */
import { timestamp } from '../model/common.js';
import { ApiError, type FieldError } from '../model/error.js';
import type { Instance, InstanceCreate, InstanceRecord } from '../model/instance.js';
import { type InstancePatch, type InstanceUpdate, readOnlyFaults } from '../model/instance-update.js';
import { merged } from '../model/merge-patch.js';
import type { Caller } from './caller.js';
import { checkNetworking, checkTags, expiry } from './instance-rules.js';

export interface ChangeOptions {
  /** Whether the machine may be wiped. */
  allowReplace: boolean;
}

/** Rules for a create, an update or a patch that do not depend on the instance. */
export function checkAsked({ metadata, spec }: InstancePatch): void {
  checkTags(metadata?.tags ?? undefined);
  checkNetworking(spec?.networking as InstanceUpdate['spec']['networking']);
}

/** The update that a patch results in. User data is not shown, so its removal must be explicit. */
export function patchedUpdate(shown: Instance, patch: InstancePatch): InstanceUpdate {
  const wish = merged(shown, patch) as InstanceUpdate;
  return patch.spec?.userData === null ? { ...wish, spec: { ...wish.spec, userData: '' } } : wish;
}

/** Throws if the request would change read-only members, and names each of them. */
export function checkUnwritable(
  id: string,
  instance: InstanceRecord,
  wish: InstanceUpdate,
  known: { current: boolean; whole: boolean },
): void {
  const name: FieldError = {
    pointer: '/metadata/name',
    message: 'The name of an instance cannot be changed.',
  };
  const errors = [
    ...(wish.metadata.name === instance.name ? [] : [name]),
    ...readOnlyFaults(id, instance, wish, known),
  ];
  const [first] = errors;
  if (first === undefined) return;
  const message = first === name ? name.message : `${first.pointer ?? ''}: ${first.message}`;
  throw new ApiError('unprocessable', message, { errors });
}

type Replacing = 'flavorId' | 'imageId';

/** The requested members that need a new machine. */
export function replacedBy(instance: InstanceRecord, { spec }: InstanceUpdate): Replacing[] {
  return (['flavorId', 'imageId'] as const).filter((field) => spec[field] !== instance[field]);
}

export function replaceRequired(replaced: readonly Replacing[]): ApiError {
  const errors = replaced.map((field) => ({ pointer: `/spec/${field}`, message: 'Replaces the machine.' }));
  const message = 'The change would delete the machine and its disk and create a new one.';
  return new ApiError('replace_required', message, { errors });
}

/** The record with the writable members of the request. */
export function changedRecord(
  instance: InstanceRecord,
  { metadata, spec }: InstanceUpdate,
  maxLifetime: number,
): InstanceRecord {
  const { description, tags, expiresAt, expirationWarning, ...kept } = instance;
  const next: InstanceRecord = {
    ...kept,
    ...written(metadata),
    ...pick(spec),
    ...expiry(spec.expiresAt, instance, maxLifetime),
  };
  if (spec.userData === '') delete next.userData;
  else if (spec.userData !== undefined) next.userData = spec.userData;
  return next;
}

/** The record, modified by the caller now. */
export function by({ principal }: Caller, instance: InstanceRecord): InstanceRecord {
  return { ...instance, modifiedTime: timestamp(), modifiedBy: principal.name };
}

export function pick(spec: { flavorId: string; imageId: string }): { flavorId: string; imageId: string } {
  return { flavorId: spec.flavorId, imageId: spec.imageId };
}

export function written(
  metadata: InstanceCreate['metadata'],
): Pick<InstanceRecord, 'name' | 'description' | 'tags'> {
  const { name, description, tags } = metadata;
  return {
    name,
    ...(description === undefined ? {} : { description }),
    ...(tags === undefined ? {} : { tags }),
  };
}
