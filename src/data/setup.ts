/**
 * The first run: superuser, organization, project and networks, so that the next call can already create an instance.
 */
import { uuidv7 } from 'uuidv7';
import { timestamp } from '../model/common.js';
import type { RegionType } from '../model/region.js';
import { isSetUp, setupId, setups } from './first-superuser.js';
import { networks } from './network.js';
import { organizations } from './organization.js';
import { projects } from './project.js';
import { regions } from './region.js';
import {
  type CollectionSpec,
  type Document,
  insert,
  replace,
  type Scalar,
  type Store,
  StoreConflict,
} from './store/port.js';
import { unlessRaced } from './store/retry.js';
import { apiKeys, newApiKey, type UserData, users } from './user.js';

export interface SetupOptions {
  /** Name of the first superuser. */
  adminName: string;
  /** The key that the operator set, or empty. */
  adminKey: string;
  /** Leaves the first superuser to onboarding over the API, unless there is a key of the operator. */
  onboarding?: boolean;
  /** Writes a new key to its file before it becomes valid: it must not be lost with a process that dies in between. */
  writeDown?: (key: string) => void;
}

export interface SetupResult {
  /** The API key that was just generated; it cannot be read again. */
  newKey?: string;
  /** Nobody exists; onboarding is to change that. */
  awaiting?: boolean;
}

/** The document with this unique key; created if it is absent. Safe if a second process does the same. */
async function ensure<T>(
  store: Store,
  collection: CollectionSpec<T>,
  key: string,
  values: readonly Scalar[],
  make: () => T,
): Promise<Document<T>> {
  const found = await store.find(collection, key, values);
  if (found !== undefined) return found;
  try {
    await store.write([insert(collection, uuidv7(), make())]);
  } catch (error) {
    if (!(error instanceof StoreConflict)) throw error;
  }
  return ensure(store, collection, key, values, make);
}

/** Idempotent; runs at every start. */
export async function setUp(store: Store, userData: UserData, options: SetupOptions): Promise<SetupResult> {
  const creationTime = timestamp();
  const createdBy = 'system';
  if (options.onboarding === true && options.adminKey === '' && !(await isSetUp(store)))
    return { awaiting: true };
  const first = await firstUser(store, options.adminName);
  if (!first.ours) {
    if (options.adminKey !== '') await setKey(store, userData, first.id, 'configured', options.adminKey);
    return {};
  }
  const admin = { id: first.id };
  const organization = await ensure(store, organizations, 'name', ['default'], () => ({
    name: 'default',
    creationTime,
    createdBy,
  }));
  const project = await ensure(store, projects, 'name', [organization.id, 'default'], () => ({
    organizationId: organization.id,
    name: 'default',
    admins: [admin.id],
    members: [],
    enabled: true,
    creationTime,
    createdBy,
  }));
  // A worker may have started first, when there was no project yet.
  const known = await store.page(regions, { order: 'id', limit: 1000 });
  for (const region of known) await ensureNetwork(store, project, region.id);
  if (options.adminKey !== '') {
    await setKey(store, userData, admin.id, 'configured', options.adminKey);
    return {};
  }
  if ((await store.count(apiKeys, { filter: { user_id: admin.id } })) > 0) return {};
  const newKey = newApiKey();
  options.writeDown?.(newKey);
  return (await addKey(store, userData, admin.id, 'first-run', newKey)) ? { newKey } : {};
}

/**
 * The first superuser; `ours` unless the API or a command has created them, who then also got all that belongs to them.
 * Safe if a second process does the same.
 */
async function firstUser(store: Store, name: string): Promise<{ id: string; ours: boolean }> {
  const done = await store.get(setups, setupId);
  if (done !== undefined && done.value.by !== 'start') return { id: done.value.userId, ours: false };
  const found = await store.find(users, 'name', [name]);
  if (found !== undefined) return { id: found.id, ours: true };
  const id = uuidv7();
  const time = timestamp();
  const writes = [insert(users, id, { name, active: true, creationTime: time })];
  if (done === undefined) writes.push(insert(setups, setupId, { userId: id, by: 'start', time }));
  await unlessRaced(store.write(writes));
  return firstUser(store, name);
}

/** False if another process of the site has just given the user a key with this name. */
async function addKey(
  store: Store,
  userData: UserData,
  userId: string,
  name: string,
  key: string,
): Promise<boolean> {
  const record = { userId, name, hash: userData.hash(key), creationTime: timestamp() };
  return unlessRaced(store.write([insert(apiKeys, uuidv7(), record)]));
}

async function setKey(
  store: Store,
  userData: UserData,
  userId: string,
  name: string,
  key: string,
): Promise<void> {
  const hash = userData.hash(key);
  const holder = await store.find(apiKeys, 'hash', [hash]);
  if (holder?.value.userId === userId) return;
  if (holder !== undefined) throw new Error('adminKey is the key of another user; choose a different one.');
  const record = await ensure(store, apiKeys, 'name', [userId, name], () => ({
    userId,
    name,
    hash,
    creationTime: timestamp(),
  }));
  if (record.value.hash !== hash) await store.write([replace(apiKeys, record, { ...record.value, hash })]);
}

/** The region's record, and a network `default` in it for every project. */
export async function setUpRegion(
  store: Store,
  name: string,
  type: RegionType,
): Promise<{ id: string; creationTime: string; type: RegionType }> {
  const region = await ensure(store, regions, 'name', [name], () => ({
    name,
    type,
    creationTime: timestamp(),
  }));
  let after: [string] | undefined;
  for (;;) {
    const page = await store.page(projects, {
      order: 'id',
      limit: 500,
      ...(after === undefined ? {} : { after }),
    });
    for (const project of page) await ensureNetwork(store, project, region.id);
    const last = page.at(-1);
    const { creationTime, type: known } = region.value;
    if (last === undefined) return { id: region.id, creationTime, type: known };
    after = [last.id];
  }
}

async function ensureNetwork(
  store: Store,
  project: Document<{ organizationId: string }>,
  regionId: string,
): Promise<void> {
  await ensure(store, networks, 'name', [project.id, regionId, 'default'], () => ({
    organizationId: project.value.organizationId,
    projectId: project.id,
    regionId,
    name: 'default',
    creationTime: timestamp(),
    createdBy: 'system',
  }));
}
