/** Rules for an instance's body beyond its schema. */
import { type Tag, timestamp } from '../model/common.js';
import { ApiError, type FieldError } from '../model/error.js';
import { misfits } from '../model/fit.js';
import type { Flavor } from '../model/flavor.js';
import type { InstanceNetworking, InstanceRecord } from '../model/instance.js';
import { presentStoredImage } from '../model/stored-image.js';
import { userDataFault } from '../model/user-data.js';
import type { Caller } from './caller.js';
import type { RegionData } from './region.js';
import type { ExpiryLimits } from './settings.js';
import { check, type Write } from './store/port.js';
import { storedImages } from './stored-image.js';

/** Each tag name at most once: the second would shadow the first in every filter. */
export function checkTags(tags: readonly Tag[] | undefined): void {
  const seen = new Set<string>();
  const errors: FieldError[] = [];
  for (const [index, { name }] of (tags ?? []).entries()) {
    if (seen.has(name))
      errors.push({ pointer: `/metadata/tags/${index}/name`, message: `Tag "${name}" appears twice.` });
    seen.add(name);
  }
  if (errors.length > 0) throw new ApiError('invalid_body', 'Tag names must be unique.', { errors });
}

/** No region supports these yet; ignoring them would promise something that does not happen. */
export function checkNetworking(networking: InstanceNetworking | undefined): void {
  const asked: [keyof InstanceNetworking, boolean][] = [
    ['securityGroups', (networking?.securityGroups ?? []).length > 0],
    ['publicIP', networking?.publicIP === true],
    ['allowedSourceAddresses', (networking?.allowedSourceAddresses ?? []).length > 0],
  ];
  const errors = asked
    .filter(([, wanted]) => wanted)
    .map(([field]) => ({
      pointer: `/spec/networking/${field}`,
      message: 'No region supports this yet; omit it.',
    }));
  if (errors.length > 0)
    throw new ApiError('unprocessable', 'The region does not support this kind of network.', { errors });
}

export function checkUserData(userData: string | undefined): void {
  const message = userData === undefined ? undefined : userDataFault(userData);
  if (message !== undefined) {
    throw new ApiError('unprocessable', message, { errors: [{ pointer: '/spec/userData', message }] });
  }
}

/**
 * The members of the record for its expiry. An unchanged time is kept with its warning; a new one must be in the
 * future, at most `maxLifetime` ms ahead.
 */
export function expiry(
  wanted: string | undefined,
  before: InstanceRecord | undefined,
  maxLifetime: number,
): Pick<InstanceRecord, 'expiresAt' | 'expirationWarning'> {
  if (wanted === undefined) return {};
  const time = Date.parse(wanted);
  const { expiresAt, expirationWarning } = before ?? {};
  if (expiresAt !== undefined && Date.parse(expiresAt) === time)
    return { expiresAt, ...(expirationWarning === undefined ? {} : { expirationWarning }) };
  checkExpiry(time, maxLifetime, '/spec/expiresAt');
  return { expiresAt: timestamp(new Date(time)) };
}

/** The same for a new instance, which expires by default where the site says so. */
export function firstExpiry(
  wanted: string | undefined,
  { maxLifetime, defaultLifetime }: Omit<ExpiryLimits, 'warning'>,
): Pick<InstanceRecord, 'expiresAt'> {
  if (wanted !== undefined || defaultLifetime === undefined) return expiry(wanted, undefined, maxLifetime);
  return { expiresAt: timestamp(new Date(Date.now() + defaultLifetime)) };
}

/** 422 unless the time (ms since 1970) is in the future and within the limit. */
export function checkExpiry(time: number, maxLifetime: number, pointer: string): void {
  const now = Date.now();
  const limit = now + maxLifetime;
  const message = !(time > now)
    ? 'The expiry must be in the future.'
    : time > limit
      ? `The latest possible expiry is ${timestamp(new Date(limit))}.`
      : undefined;
  if (message !== undefined) throw new ApiError('unprocessable', message, { errors: [{ pointer, message }] });
}

interface References extends Pick<InstanceRecord, 'organizationId' | 'projectId' | 'regionId'> {
  flavorId: string;
  imageId: string;
  /** The shape of a flavor that the instance keeps even if the region no longer offers it. */
  kept?: Flavor['spec'] | null | undefined;
}

/** What a valid reference to a flavor and an image leads to. */
interface Referred {
  /** The shape of the flavor. */
  flavor?: Flavor['spec'] | undefined;
  /** For the batch of the change: the image must not be changed or deleted meanwhile. */
  checks: readonly Write[];
}

/**
 * Checks that flavor and image exist in the region for this project, and fit each other; otherwise 400, as in Unikorn.
 */
export async function checkReferences(
  regions: RegionData,
  wanted: References,
  caller: Caller,
): Promise<Referred> {
  const { organizationId, projectId, imageId } = wanted;
  const principal = { organizationId, projectIds: [projectId] };
  const { signal } = caller;
  const [flavors, images] = await regions.ask(caller, wanted.regionId, (provider) =>
    Promise.all([provider.listFlavors(principal, signal), provider.listImages(principal, signal)]),
  );
  const offered = flavors.find((candidate) => candidate.metadata.id === wanted.flavorId);
  const flavor = offered?.spec ?? wanted.kept ?? undefined;
  const built = images.find((candidate) => candidate.metadata.id === imageId);
  const stored = built === undefined ? await regions.storedImage(wanted, imageId, signal) : undefined;
  const image = stored === undefined ? built : presentStoredImage(imageId, stored.value);
  const errors: FieldError[] = [];
  if (flavor === undefined)
    errors.push({ pointer: '/spec/flavorId', message: 'The region has no such flavor.' });
  if (flavor?.pinnedOnly === true) {
    const message = 'Instances cannot have this flavor: it is for machines on a named host.';
    errors.push({ pointer: '/spec/flavorId', message });
  }
  if (image === undefined)
    errors.push({ pointer: '/spec/imageId', message: 'The region has no such image.' });
  if (flavor !== undefined && image !== undefined) {
    errors.push(
      ...misfits({ spec: flavor }, image).map((message) => ({ pointer: '/spec/imageId', message })),
    );
  }
  if (errors.length > 0) {
    throw new ApiError('invalid_reference', errors.map((error) => error.message).join(' '), { errors });
  }
  return { flavor, checks: stored === undefined ? [] : [check(storedImages, stored)] };
}
