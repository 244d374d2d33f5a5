/** API keys that limit the number of instances, and how long they live. */
import { expect } from 'chai';
import type { NewApiKey } from '../../src/model/api-key.js';
import type { Instance } from '../../src/model/instance.js';
import type { ApiKeySpec } from '../../src/model/key-limits.js';
import { Api } from '../support/conform.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const hour = 3_600_000;

describe('API keys limited', () => {
  let server: TestServer;
  let person: Person;
  let red: SeededProject;
  let count = 0;

  const pathOf = ({ metadata }: Instance) => `/api/v2/instances/${metadata.id}`;
  const named = (name: string, project: SeededProject, metadata = {}, spec = {}) =>
    server.instanceBody(name, { metadata, spec: { projectId: project.id, ...spec } });

  async function limited(spec: ApiKeySpec): Promise<Api> {
    const name = `limited-${(count += 1)}`;
    const path = `/api/v2/users/${person.id}/apikeys`;
    const reply = await person.api.post<NewApiKey>(path, { metadata: { name }, spec });
    expect(reply.status, reply.text).to.equal(201);
    return Api.withKey(server.url, reply.body.key);
  }

  before(async () => {
    server = await startServer();
    person = await addPerson(server.app, 'limiter');
    red = await addProject(server.app, { name: 'red', admins: [person] });
  });
  after(() => server.stop());

  describe('by number and lifetime', () => {
    it('create only so many at a time, however many requests come at once; deleted ones make room', async () => {
      const api = await limited({ maxInstances: 2 });
      const replies = await Promise.all(
        Array.from({ length: 6 }, (_none, n) =>
          api.post<Instance>('/api/v2/instances', named(`counted-${n}`, red)),
        ),
      );
      const statuses = replies.map(({ status }) => status).sort();
      expect(statuses).to.deep.equal([201, 201, 403, 403, 403, 403]);
      const [one] = replies.filter(({ status }) => status === 201).map(({ body }) => body);
      if (one === undefined) throw new Error('there is none');
      await server.settled(one.metadata.id, undefined, person.api);
      await api.refused('forbidden', 'POST', '/api/v2/instances', { body: named('three', red) });
      await server.deleteInstance(one.metadata.id);
      expect((await api.post('/api/v2/instances', named('three', red))).status).to.equal(201);
      await api.refused('forbidden', 'POST', '/api/v2/instances', { body: named('four', red) });
      const none = await limited({ maxInstances: 0 });
      await none.refused('forbidden', 'POST', '/api/v2/instances', { body: named('four', red) });
      expect((await person.api.post('/api/v2/instances', named('four', red))).status).to.equal(201);
    });

    it('let nothing live longer, and give a lifetime to what has none', async () => {
      const api = await limited({ lifetime: 3600 });
      const at = (ms: number) => new Date(Date.now() + ms).toISOString();
      const late = named('late', red, {}, { expiresAt: at(2 * hour) });
      const reply = await api.refused('unprocessable', 'POST', '/api/v2/instances', { body: late });
      expect(reply.body.errors?.[0]?.pointer).to.equal('/spec/expiresAt');
      const instance = await server.running('short', { spec: { projectId: red.id } }, api);
      const { creationTime } = instance.metadata;
      const { expiresAt = '' } = instance.spec;
      expect(Date.parse(expiresAt) - Date.parse(creationTime)).to.equal(hour);
      const extend = `${pathOf(instance)}/extend_expiration`;
      await api.refused('unprocessable', 'POST', extend, { body: { hours: 1 } });
      await api.refused('unprocessable', 'PATCH', pathOf(instance), { body: { spec: { expiresAt: null } } });
      await api.refused('unprocessable', 'PATCH', pathOf(instance), {
        body: { spec: { expiresAt: at(2 * hour) } },
      });
      const earlier = await api.patch<Instance>(pathOf(instance), { spec: { expiresAt: at(hour / 2) } });
      expect(earlier.status, earlier.text).to.equal(202);
      const back = await api.post(extend, {
        expiresAt: new Date(Date.parse(expiresAt) - 1000).toISOString(),
      });
      expect(back.status, back.text).to.equal(200);
    });
  });
});
