/**
 * The first superuser of a site, with an organization and a project: created once, in one step, by the API or by a
 * command. What a start without onboarding does instead: setup.ts.
 */
import { uuidv7 } from 'uuidv7';
import { presentApiKey } from '../model/api-key.js';
import { timestamp } from '../model/common.js';
import { presentOrganization } from '../model/organization.js';
import { presentProject } from '../model/project.js';
import type { SetupRecord, SetupRequest, SetupResult } from '../model/setup.js';
import { checkUserName, presentUser } from '../model/user.js';
import { type AuditEntry, auditedAll } from './audit.js';
import { networks } from './network.js';
import { organizations } from './organization.js';
import { projects } from './project.js';
import { regions } from './region.js';
import { settings } from './settings.js';
import { type CollectionSpec, insert, replace, type Store, StoreConflict, type Write } from './store/port.js';
import { retrying } from './store/retry.js';
import { apiKeys, users } from './user.js';

export const setups: CollectionSpec<SetupRecord> = {
  name: 'setups',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

/** The only document of `setups`: whoever inserts it first has set the site up. */
export const setupId = 'site';

/** The only document of the settings. */
const settingsId = 'site';

/** Whether anybody exists. */
export async function isSetUp(store: Store): Promise<boolean> {
  return (await store.get(setups, setupId)) !== undefined || (await store.count(users, {})) > 0;
}

export interface FirstSuperUser extends SetupRequest {
  by: SetupRecord['by'];
  requestId: string;
  /** The API key, and its hash. */
  key: string;
  hash: string;
  /** Superusers of the configuration: anybody else is made one by the settings. */
  superUsers: readonly string[];
}

/** Undefined: somebody exists already. */
export async function createFirstSuperUser(
  store: Store,
  wanted: FirstSuperUser,
): Promise<SetupResult | undefined> {
  checkUserName(wanted.username, '/username');
  try {
    return await retrying(() => attempt(store, wanted));
  } catch (error) {
    if (!(error instanceof StoreConflict) || !(await isSetUp(store))) throw error;
    return undefined;
  }
}

async function attempt(store: Store, wanted: FirstSuperUser): Promise<SetupResult | undefined> {
  if (await isSetUp(store)) return undefined;
  const { username, by, requestId, key, hash } = wanted;
  const [userId, keyId, organizationId, projectId] = [uuidv7(), uuidv7(), uuidv7(), uuidv7()];
  const creationTime = timestamp();
  const made = { creationTime, createdBy: username };
  const user = { name: username, active: true, creationTime };
  const apiKey = { userId, name: 'first', hash, ...made };
  const organization = { name: wanted.organization ?? 'default', ...made };
  const project = {
    organizationId,
    name: wanted.project ?? 'default',
    admins: [userId],
    members: [],
    enabled: true,
    ...made,
  };
  const created = (type: string, id: string, after: unknown): AuditEntry => ({
    action: `${type}.create`,
    resource: { type, id },
    before: null,
    after,
  });
  const entries = [
    created(users.auditedAs, userId, user),
    created(apiKeys.auditedAs, keyId, apiKey),
    created(organizations.auditedAs, organizationId, organization),
    created(projects.auditedAs, projectId, project),
  ];
  const known = await store.page(regions, { order: 'id', limit: 1000 });
  const writes: Write[] = [
    insert(setups, setupId, { userId, by, time: creationTime }),
    insert(users, userId, user),
    insert(apiKeys, keyId, apiKey),
    insert(organizations, organizationId, organization),
    insert(projects, projectId, project),
    ...known.map(({ id: regionId }) =>
      insert(networks, uuidv7(), { organizationId, projectId, regionId, name: 'default', ...made }),
    ),
  ];
  if (!wanted.superUsers.includes(username)) {
    const found = await store.get(settings, settingsId);
    const after = { ...found?.value, superUsers: [username] };
    const resource = { type: settings.name, id: settingsId };
    entries.push({ action: 'settings.update', resource, before: found?.value, after });
    writes.push(found === undefined ? insert(settings, settingsId, after) : replace(settings, found, after));
  }
  const actor = { principal: { id: userId, name: username, superUser: true }, requestId };
  const audit = await auditedAll(store, actor, entries);
  await store.write([...writes, ...audit.writes]);
  return {
    user: presentUser(userId, user),
    organization: presentOrganization(organizationId, organization),
    project: presentProject(projectId, project),
    apiKey: { ...presentApiKey(keyId, apiKey), key },
  };
}
