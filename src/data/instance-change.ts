/** From a PUT or PATCH of an instance to its next record, or to the reason why it is refused. */
import { defined, timestamp } from '../model/common.js';
import { ApiError, type FieldError } from '../model/error.js';
import type { Flavor } from '../model/flavor.js';
import type { Instance, InstanceCreate, InstanceRecord } from '../model/instance.js';
import { type InstancePatch, type InstanceUpdate, readOnlyFaults } from '../model/instance-update.js';
import { merged } from '../model/merge-patch.js';
import { audited } from './audit.js';
import type { Caller } from './caller.js';
import { checkNetworking, checkTags, expiry } from './instance-rules.js';
import type { Document, Store, Write } from './store/port.js';

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

/** How the machine becomes what is wanted; undefined: it is. Only a resize keeps its disk. */
export function conversion(
  { provisioning, flavor: former }: InstanceRecord,
  replaced: readonly Replacing[],
  flavor: Flavor['spec'] | undefined,
): 'instance.resize' | 'instance.replace' | undefined {
  if (replaced.length === 0) return undefined;
  const fits =
    former != null && flavor !== undefined && flavor.disk >= former.disk && isAlike(flavor, former);
  const resizable = fits && provisioning.status === 'provisioned' && !replaced.includes('imageId');
  return resizable ? 'instance.resize' : 'instance.replace';
}

function isAlike(one: Flavor['spec'], other: Flavor['spec']): boolean {
  return one.architecture === other.architecture && (one.baremetal ?? false) === (other.baremetal ?? false);
}

export function replaceRequired(
  { flavor: former }: InstanceRecord,
  replaced: readonly Replacing[],
  flavor: Flavor['spec'] | undefined,
): ApiError {
  const [was = 0, is = 0] = [former?.disk, flavor?.disk];
  const shrinks = `A disk cannot shrink from ${was} GB to ${is} GB: replaces the machine.`;
  const errors = replaced.map((field) => ({
    pointer: `/spec/${field}`,
    message: field === 'flavorId' && is < was ? shrinks : 'Replaces the machine.',
  }));
  const message = 'The change would delete the machine and its disk and create a new one.';
  return new ApiError('replace_required', message, { errors });
}

/** The record with the writable members of the request. */
export function changedRecord(
  instance: InstanceRecord,
  { metadata, spec }: InstanceUpdate,
  maxLifetime: number,
): InstanceRecord {
  const { description, tags, expiresAt, expirationWarning, deletionProtection, ...kept } = instance;
  const next: InstanceRecord = {
    ...kept,
    ...written(metadata),
    ...pick(spec),
    ...protection(spec),
    ...expiry(spec.expiresAt, instance, maxLifetime),
  };
  if (spec.userData === '') delete next.userData;
  else if (spec.userData !== undefined) next.userData = spec.userData;
  return next;
}

/** Only if it is on. */
export function protection(spec: {
  deletionProtection?: boolean | undefined;
}): Pick<InstanceRecord, 'deletionProtection'> {
  return spec.deletionProtection === true ? { deletionProtection: true } : {};
}

/** The record, modified by the caller now. */
export function by({ principal }: Caller, instance: InstanceRecord): InstanceRecord {
  return { ...instance, modifiedTime: timestamp(), modifiedBy: principal.name };
}

/** The writes that record a change of an instance that needs no task: what users write of it, before and after. */
export function changeAudited(
  store: Store,
  caller: Caller,
  action: string,
  { id, value }: Document<InstanceRecord>,
  next: InstanceRecord,
): Promise<Write[]> {
  const wished = ({ name, projectId, description, tags, expiresAt, userData }: InstanceRecord) =>
    defined({ name, projectId, description, tags, expiresAt, userData });
  return audited(store, caller, action, { type: 'instance', id }, wished(value), wished(next));
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
