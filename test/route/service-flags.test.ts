/** Each service flag switches what it names, and nothing else, and at once. */
import { expect } from 'chai';
import { flagNames, type ServiceFlagsWrite } from '../../src/model/settings.js';
import type { Session } from '../../src/model/session.js';
import { taskInputs } from '../../src/model/task.js';
import { cookieOf, page } from '../support/page.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/admin/service_flags';

describe('service flags', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
  });
  after(() => server.stop());
  afterEach(() => server.admin.put(path, {}));

  const switchOff = async (...names: string[]) => {
    const flags = Object.fromEntries(names.map((name) => [name, false])) as ServiceFlagsWrite;
    expect((await server.admin.patch(path, flags)).status).to.equal(200);
  };
  const statusOf = async (id: string | undefined) => (await server.task(id)).status;

  it('are one for each task type, and for what is not a task', async () => {
    const { body } = await server.admin.get<Record<string, boolean>>(path);
    expect(Object.keys(body)).to.have.members(flagNames);
    expect(flagNames).to.include.members(Object.keys(taskInputs));
    expect(flagNames).to.include.members(['creation', 'hooks', 'imports', 'signIn']);
    expect(Object.values(body)).not.to.include(false);
  });

  it('creation: no instance is made, and those that exist are changed, stopped and deleted as ever', async () => {
    const { metadata } = await server.running('before');
    await switchOff('creation');
    const body = server.instanceBody('not-now');
    const refused = await server.admin.call('POST', '/api/v2/instances', { body, failing: 503 });
    expect(refused.body).to.include({ code: 'switched_off' });
    expect(refused.headers.get('retry-after')).to.equal('60');
    const one = `/api/v2/instances/${metadata.id}`;
    expect((await server.admin.patch(one, { metadata: { description: 'x' } })).status).to.equal(202);
    expect((await server.admin.post(`${one}/stop`)).status).to.equal(202);
    await server.settled(metadata.id);
    await server.deleteInstance(metadata.id);
  });

  it('signIn: no session begins, and keys and sessions that exist go on', async () => {
    const before = await server.admin.post<Session>('/api/v2/signin');
    await switchOff('signIn');
    const refused = await server.admin.call('POST', '/api/v2/signin', { failing: 503 });
    expect(refused.body).to.include({ code: 'switched_off' });
    expect(refused.headers.get('set-cookie')).to.equal(null);
    expect((await server.admin.get('/api/v2/user')).status).to.equal(200);
    const session = page(server.url, cookieOf(before));
    expect((await session.get('/api/v2/user')).status).to.equal(200);
    expect((await session.post('/api/v2/signout')).status).to.equal(204);
  });

  it('of a task type: its tasks are accepted and wait, those of other types run, and all go on afterwards', async () => {
    const [one, other] = [await server.running('one'), await server.running('other')];
    const at = (id: string) => `/api/v2/instances/${id}`;
    const taskOf = (headers: Headers) => headers.get('location')?.split('/').at(-1);
    const asked: Record<string, () => Promise<{ headers: Headers; status: number }>> = {
      'instance.reboot': () => server.admin.post(`${at(one.metadata.id)}/reboot`),
      'instance.stop': () => server.admin.post(`${at(one.metadata.id)}/stop`),
      'instance.start': () => server.admin.post(`${at(one.metadata.id)}/start`),
      'instance.resize': () =>
        server.admin.patch(at(one.metadata.id), { spec: { flavorId: server.catalog.flavors['small'] } }),
      'instance.replace': () =>
        server.admin.patch(`${at(one.metadata.id)}?allowReplace=true`, {
          spec: { imageId: server.catalog.images['sim-linux-next'] },
        }),
      'instance.delete': () => server.admin.delete(at(one.metadata.id)),
    };
    for (const [type, ask] of Object.entries(asked)) {
      await switchOff(type);
      const reply = await ask();
      expect(reply.status, type).to.equal(202);
      const id = taskOf(reply.headers);
      // Another type goes its way meanwhile.
      const probe = type === 'instance.reboot' ? 'stop' : 'reboot';
      const beside = await server.admin.post(`${at(other.metadata.id)}/${probe}`);
      await server.ended(beside.headers.get('location'));
      expect(await statusOf(id), type).to.equal('pending');
      await server.admin.put(path, {});
      expect((await server.ended(id)).status, type).to.equal('succeeded');
      if (probe === 'stop') {
        await server.admin.post(`${at(other.metadata.id)}/start`);
        await server.settled(other.metadata.id);
      }
    }
    await switchOff('instance.create');
    const made = await server.createInstance('waits');
    await server.ended((await server.admin.post(`${at(other.metadata.id)}/reboot`)).headers.get('location'));
    expect(await statusOf(made.status.taskId)).to.equal('pending');
    await server.admin.put(path, {});
    await server.settled(made.metadata.id, ({ status }) => status.powerState === 'Running');
  }).timeout(40_000);
});
