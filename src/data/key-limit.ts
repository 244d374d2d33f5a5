/** What a limited credential lets its bearer make of instances: their tags, their lifetime and their number. */
import { timestamp } from '../model/common.js';
import { ApiError } from '../model/error.js';
import type { InstanceRecord } from '../model/instance.js';
import { hasTags } from '../model/key-limits.js';
import { allows, type Limits } from '../model/role.js';
import type { Principal } from '../model/user.js';
import type { Caller } from './caller.js';
import { type CollectionSpec, type Document, insert, replace, type Store, type Write } from './store/port.js';
import { unlessRaced } from './store/retry.js';

/** The instances that were created with a key which is limited to a number of them, under the key's id. */
interface KeyTally {
  instanceIds: string[];
}

export const keyTallies: CollectionSpec<KeyTally> = {
  name: 'apikey_tallies',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

type Limited = Pick<Principal, 'limits'>;

/** Throws unless the credential allows to create instances. */
export function checkMayCreate(principal: Limited): void {
  if (allows(principal, 'create')) return;
  throw new ApiError('forbidden', 'Your credential does not allow the verb "create".');
}

function refuse(pointer: string, message: string): ApiError {
  return new ApiError('unprocessable', message, { errors: [{ pointer, message }] });
}

/** Throws if the instance would be outside the tags of the credential. */
function checkTagsWithin(limits: Limits, { tags }: Pick<InstanceRecord, 'tags'>): void {
  if (hasTags(limits, tags)) return;
  const wanted = (limits.tags ?? []).map((tag) => `"${tag}"`).join(', ');
  throw refuse('/metadata/tags', `With your credential, an instance must have the tags ${wanted}.`);
}

/** The latest expiry that the credential allows, in ms since 1970. */
function latestExpiry(lifetime: number, { creationTime }: Pick<InstanceRecord, 'creationTime'>): number {
  return Date.parse(creationTime) + lifetime;
}

/** Throws if the expiry (ms since 1970; undefined: never) is later than the credential allows. */
export function checkLifetime(
  { limits }: Limited,
  instance: Pick<InstanceRecord, 'creationTime'>,
  expires: number | undefined,
  pointer: string,
): void {
  if (limits?.lifetime === undefined) return;
  const latest = latestExpiry(limits.lifetime, instance);
  if (expires !== undefined && expires <= latest) return;
  const time = timestamp(new Date(latest));
  throw refuse(pointer, `With your credential, the instance must expire at ${time} or before.`);
}

/** The new instance within the limits: it expires as they say if its create names no expiry. */
export function createdWithin(
  { limits }: Limited,
  instance: InstanceRecord,
  wantedExpiry: string | undefined,
): InstanceRecord {
  if (limits === undefined) return instance;
  checkTagsWithin(limits, instance);
  if (limits.lifetime === undefined) return instance;
  const { expiresAt } = instance;
  if (wantedExpiry !== undefined && expiresAt !== undefined) {
    checkLifetime({ limits }, instance, Date.parse(expiresAt), '/spec/expiresAt');
    return instance;
  }
  const latest = latestExpiry(limits.lifetime, instance);
  const expires = expiresAt === undefined ? latest : Math.min(latest, Date.parse(expiresAt));
  return { ...instance, expiresAt: timestamp(new Date(expires)) };
}

/** Throws if the changed instance would be outside the limits, or the credential does not allow to wipe it. */
export function checkChange(
  principal: Limited,
  before: InstanceRecord,
  next: InstanceRecord,
  wipes: boolean,
): void {
  const { limits } = principal;
  if (limits === undefined) return;
  if (wipes && !allows(principal, 'delete'))
    throw new ApiError(
      'forbidden',
      'Your credential does not allow the verb "delete": this wipes the machine.',
    );
  checkTagsWithin(limits, next);
  if (next.expiresAt === before.expiresAt) return;
  const expires = next.expiresAt === undefined ? undefined : Date.parse(next.expiresAt);
  checkVerbOfExpiry(principal, before, expires);
  checkLifetime(principal, next, expires, '/spec/expiresAt');
}

/** Throws unless the credential allows to let the instance live until then: earlier, it is deleted earlier. */
export function checkVerbOfExpiry(principal: Limited, before: InstanceRecord, expires = Infinity): void {
  const was = before.expiresAt === undefined ? Infinity : Date.parse(before.expiresAt);
  const verb = expires < was ? 'delete' : 'extend';
  if (allows(principal, verb)) return;
  throw new ApiError(
    'forbidden',
    `Your credential does not allow the verb "${verb}", which this change of the expiry needs.`,
  );
}

/**
 * The write that counts a new instance against the number that its creator's key allows, for the batch of the create,
 * within `retrying`. Instances that no longer exist make room.
 */
export async function tallied(
  store: Store,
  { principal, planning }: Caller,
  id: string,
  exists: (id: string) => Promise<boolean>,
): Promise<Write[]> {
  const { limits, keyId } = principal;
  const limit = limits?.maxInstances;
  if (limit === undefined) return [];
  if (keyId === undefined) throw new ApiError('forbidden', 'Your credential cannot create instances.');
  const found = planning?.dryRun === true ? await store.get(keyTallies, keyId) : await tallyOf(store, keyId);
  let instanceIds = found?.value.instanceIds ?? [];
  if (instanceIds.length >= limit) {
    const living = await Promise.all(instanceIds.map(exists));
    instanceIds = instanceIds.filter((_id, index) => living[index] === true);
  }
  if (instanceIds.length >= limit) {
    const message = `Your credential allows ${limit} instances at a time, and ${instanceIds.length} exist; delete one first.`;
    throw new ApiError('forbidden', message);
  }
  return found === undefined ? [] : [replace(keyTallies, found, { instanceIds: [...instanceIds, id] })];
}

/** The tally of a key; the first call creates it. */
async function tallyOf(store: Store, keyId: string): Promise<Document<KeyTally>> {
  const found = await store.get(keyTallies, keyId);
  if (found !== undefined) return found;
  await unlessRaced(store.write([insert(keyTallies, keyId, { instanceIds: [] })]));
  return tallyOf(store, keyId);
}
