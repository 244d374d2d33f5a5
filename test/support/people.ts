/** Users, keys, projects and networks, put directly into the store. */
import { uuidv7 } from 'uuidv7';
import type { App } from '../../src/app.js';
import { networks } from '../../src/data/network.js';
import { organizations } from '../../src/data/organization.js';
import { projects } from '../../src/data/project.js';
import { sessions } from '../../src/data/session.js';
import { insert } from '../../src/data/store/port.js';
import { apiKeys, newApiKey, users } from '../../src/data/user.js';
import { timestamp } from '../../src/model/common.js';
import { Api } from './conform.js';

type Parts = Pick<App, 'store' | 'connector' | 'regions' | 'url'>;

export interface Person {
  id: string;
  name: string;
  key: string;
  keyId: string;
  api: Api;
}

/** A user with one API key. */
export async function addPerson(app: Parts, name: string, { active = true } = {}): Promise<Person> {
  const [id, keyId] = [uuidv7(), uuidv7()];
  const key = newApiKey();
  const creationTime = timestamp();
  const record = { userId: id, name: 'test', hash: app.connector.users.hash(key), creationTime };
  await app.store.write([insert(users, id, { name, active, creationTime }), insert(apiKeys, keyId, record)]);
  return { id, name, key, keyId, api: Api.withKey(app.url, key) };
}

/** A session of which nobody has the cookie. */
export async function addSession(
  app: Parts,
  { id: userId, keyId }: Pick<Person, 'id' | 'keyId'>,
): Promise<string> {
  const id = uuidv7();
  const end = timestamp(new Date(Date.now() + 3_600_000));
  const record = { userId, keyId, hash: id, creationTime: timestamp(), expiry: end, idleExpiry: end };
  await app.store.write([insert(sessions, id, record)]);
  return id;
}

export interface SeededProject {
  id: string;
  organizationId: string;
  /** Its network `default`, by region. */
  networkIds: string[];
}

export interface ProjectSeed {
  id?: string;
  name: string;
  organizationId?: string;
  admins?: readonly Person[];
  /** Operators. */
  members?: readonly Person[];
  readers?: readonly Person[];
  enabled?: boolean;
}

/** A project with a network `default` in each region; in an organization of its own unless one is named. */
export async function addProject(app: Parts, seed: ProjectSeed): Promise<SeededProject> {
  const { name, admins = [], members = [], readers, enabled = true } = seed;
  const creationTime = timestamp();
  const createdBy = 'test';
  const organizationId = seed.organizationId ?? uuidv7();
  if (seed.organizationId === undefined) {
    await app.store.write([
      insert(organizations, organizationId, { name: `${name}-org`, creationTime, createdBy }),
    ]);
  }
  const id = seed.id ?? uuidv7();
  const record = {
    organizationId,
    name,
    admins: admins.map((person) => person.id),
    members: members.map((person) => person.id),
    ...(readers === undefined ? {} : { readers: readers.map((person) => person.id) }),
    enabled,
    creationTime,
    createdBy,
  };
  const made = app.regions.map((region) => ({
    id: uuidv7(),
    record: { organizationId, projectId: id, regionId: region.id, name: 'default', creationTime, createdBy },
  }));
  await app.store.write([
    insert(projects, id, record),
    ...made.map((network) => insert(networks, network.id, network.record)),
  ]);
  return { id, organizationId, networkIds: made.map((network) => network.id) };
}
