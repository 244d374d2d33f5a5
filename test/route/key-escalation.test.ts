/** Limited API keys whose bearer tries to get more than the key allows. */
import { expect } from 'chai';
import type { NewApiKey } from '../../src/model/api-key.js';
import type { Instance } from '../../src/model/instance.js';
import type { ApiKeySpec } from '../../src/model/key-limits.js';
import { Api } from '../support/conform.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('escalation of a limited API key', () => {
  const ci = { name: 'purpose', value: 'ci' };
  let server: TestServer;
  let person: Person;
  let project: SeededProject;
  let instance: Instance;
  let count = 0;

  async function limited(spec: ApiKeySpec): Promise<Api> {
    const metadata = { name: `limited-${(count += 1)}` };
    const path = `/api/v2/users/${person.id}/apikeys`;
    return Api.withKey(server.url, (await person.api.post<NewApiKey>(path, { metadata, spec })).body.key);
  }

  const pathOf = ({ metadata }: Instance) => `/api/v2/instances/${metadata.id}`;
  const expiring = (milliseconds: number) => ({
    spec: { expiresAt: new Date(Date.now() + milliseconds).toISOString() },
  });

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
    person = await addPerson(server.app, 'escalator');
    project = await addProject(server.app, { name: 'red', admins: [person] });
    const body = { metadata: { tags: [ci] }, spec: { projectId: project.id } };
    instance = await server.running('tagged', body, person.api);
  });
  after(() => server.stop());

  it('by members is refused: a key limited by tags, number or lifetime lets nobody in', async () => {
    for (const spec of [{ tags: [ci] }, { maxInstances: 1 }, { lifetime: 3600 }]) {
      const api = await limited(spec);
      const path = `/api/v2/projects/${project.id}`;
      const body = { userId: person.id, role: 'admin' };
      await api.refused('forbidden', 'POST', `${path}/members`, { body });
      await api.refused('forbidden', 'PATCH', path, { body: {} });
      expect((await api.get(pathOf(instance))).status).to.equal(200);
    }
  });

  it('by the expiry is refused: an earlier one needs "delete", a later one "extend"', async () => {
    const path = pathOf(instance);
    const extend = await limited({ verbs: ['extend'] });
    const soon = expiring(2000);
    await extend.refused('forbidden', 'POST', `${path}/extend_expiration`, { body: soon.spec });
    const update = await limited({ verbs: ['update'] });
    await update.refused('forbidden', 'PATCH', path, { body: soon });
    expect((await person.api.patch(path, expiring(3_600_000))).status).to.be.within(200, 299);
    await update.refused('forbidden', 'PATCH', path, { body: soon });
    await update.refused('forbidden', 'PATCH', path, { body: expiring(7_200_000) });
    await update.refused('forbidden', 'PATCH', path, { body: { spec: { expiresAt: null } } });
  });

  it('by labels is refused: they are also on instances without the tags', async () => {
    const body = { metadata: { name: 'on-all' }, spec: { projectId: project.id } };
    const { id } = (await person.api.post<{ metadata: { id: string } }>('/api/v2/labels', body)).body
      .metadata;
    const api = await limited({ tags: [ci] });
    await api.refused('forbidden', 'DELETE', `/api/v2/labels/${id}`);
  });
});
