import { expect } from 'chai';
import { instances } from '../../src/data/instance.js';
import { replace } from '../../src/data/store/port.js';
import type { Event } from '../../src/model/event.js';
import type { Instance } from '../../src/model/instance.js';
import type { Task } from '../../src/model/task.js';
import { eventually } from '../support/eventually.js';
import { addPerson } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const hour = 3_600_000;
const at = (ms: number) => new Date(Date.now() + ms).toISOString();
const address = ({ metadata }: Instance) => `/api/v2/instances/${metadata.id}`;

describe('instances that expire', () => {
  let server: TestServer;

  const extend = (instance: Instance, body: object, headers = {}) =>
    server.admin.post<Instance>(`${address(instance)}/extend_expiration`, body, { headers });

  const events = async ({ metadata }: Instance, query = '') =>
    (await server.admin.get<Event[]>(`/api/v2/events?limit=1000&resourceID=${metadata.id}${query}`)).body;

  before(async () => {
    server = await startServer({
      flags: { tasks: { sweep: 0.05 }, instances: { maxLifetime: 2, expiryWarning: 1 } },
    });
  });
  after(() => server.stop());

  it('are told when at their creation, and say so; a time in another zone is the same time', async () => {
    const time = Date.now() + 5 * hour;
    const zoned = `${new Date(time + 2 * hour).toISOString().slice(0, -1)}+02:00`;
    const instance = await server.running('mortal', { spec: { expiresAt: zoned } });
    expect(instance.spec.expiresAt).to.equal(new Date(time).toISOString());
    expect((await server.running('immortal')).spec).not.to.have.property('expiresAt');
  });

  it('are refused a time that is over, too far ahead, or none', async () => {
    for (const expiresAt of [at(-1), at(49 * hour), '2016-12-31T23:59:60Z']) {
      const body = server.instanceBody('refused', { spec: { expiresAt } });
      const reply = await server.admin.refused('unprocessable', 'POST', '/api/v2/instances', { body });
      expect(reply.body.errors?.[0]?.pointer).to.equal('/spec/expiresAt');
    }
    const body = server.instanceBody('refused', { spec: { expiresAt: 'tomorrow' } });
    await server.admin.refused('invalid_body', 'POST', '/api/v2/instances', { body });
  });

  it('are changed by PUT: another time, the same, none', async () => {
    const instance = await server.running('changed', { spec: { expiresAt: at(3 * hour) } });
    const put = (spec: object) =>
      server.admin.put<Instance>(address(instance), {
        metadata: { name: 'changed' },
        spec: { flavorId: instance.spec.flavorId, imageId: instance.spec.imageId, ...spec },
      });
    const later = at(4 * hour);
    expect((await put({ expiresAt: later })).body.spec.expiresAt).to.equal(later);
    expect((await put({ expiresAt: later })).body.spec.expiresAt).to.equal(later);
    expect((await put({})).body.spec).not.to.have.property('expiresAt');
  });

  it('are deleted when their time is over, by the ordinary task, in the name of the schedule', async () => {
    const instance = await server.running('short', { spec: { expiresAt: at(300) } });
    await eventually(async () => (await server.admin.get(address(instance))).status === 404);
    const { body } = await server.admin.get<Task[]>(
      `/api/v2/tasks?subjectID=${instance.metadata.id}&requester=schedule`,
    );
    expect(body.map(({ type, status }) => [type, status])).to.deep.equal([['instance.delete', 'succeeded']]);
    expect(body[0]?.requester).to.deep.equal({ user: 'schedule', requestId: 'schedule-expiry' });
    expect(Date.parse(body[0]?.creationTime ?? '')).to.be.at.least(Date.parse(instance.spec.expiresAt ?? ''));
    expect(server.cloud.servers().map(({ id }) => id)).not.to.include(instance.metadata.id);
  });

  it('are asked for again when their deletion failed for good', async () => {
    const instance = await server.running('stubborn', { spec: { expiresAt: at(300) } });
    server.cloud.program({
      verb: 'deleteServer',
      serverId: instance.metadata.id,
      error: 'terminal',
      times: 2,
    });
    await eventually(async () => (await server.admin.get(address(instance))).status === 404);
    const { body } = await server.admin.get<Task[]>(
      `/api/v2/tasks?subjectID=${instance.metadata.id}&requester=schedule`,
    );
    expect(body.map(({ status }) => status)).to.deep.equal(['failed', 'failed', 'succeeded']);
    expect(server.cloud.servers().map(({ id }) => id)).not.to.include(instance.metadata.id);
  });

  it('are marked once when their time is near, by an event of its own, and lose the mark with an extension', async () => {
    const instance = await server.createInstance('warned', { spec: { expiresAt: at(0.5 * hour) } });
    const warned = await server.settled(
      instance.metadata.id,
      ({ status }) => status.expirationWarning !== undefined,
    );
    const [event, ...more] = await events(instance, '&type=instance.expiring');
    expect(more).to.deep.equal([]);
    // The create may still be under way at the event, and over when the instance is asked for.
    const { metadata, status } = event?.resource as Instance;
    expect(metadata.id).to.equal(instance.metadata.id);
    expect(status.expirationWarning).to.equal(warned.status.expirationWarning);
    expect(await events(instance, '&type=instance.expiring&subject=task')).to.deep.equal([]);
    const { body } = await extend(instance, { hours: 24 });
    expect(body.status).not.to.have.property('expirationWarning');
    expect(Date.parse(body.spec.expiresAt ?? '') - Date.parse(instance.spec.expiresAt ?? '')).to.equal(
      24 * hour,
    );
  });

  it('are never deleted without a warning before, even when nobody looked until their time was over', async () => {
    const instance = await server.running('overslept');
    const { store } = server.app;
    // As a site that was down for all of the last day would find it.
    await eventually(async () => {
      const found = await store.get(instances, instance.metadata.id);
      if (found === undefined) throw new Error('the instance is not there');
      await store.write([replace(instances, found, { ...found.value, expiresAt: at(-hour) })]);
      return true;
    });
    await eventually(async () => (await server.admin.get(address(instance))).status === 404);
    const types = (await events(instance)).map(({ type }) => type);
    const told = types.filter((type) => type !== 'instance.updated');
    expect(told).to.deep.equal(['instance.created', 'instance.expiring', 'instance.deleted']);
    const texts = (await events(instance)).map(({ type, resource }) => [
      type,
      (resource as Instance | null)?.metadata.deletionTime !== undefined,
    ]);
    const warning = texts.findIndex(([type]) => type === 'instance.expiring');
    expect(texts.findIndex(([, deleting]) => deleting)).to.be.greaterThan(warning);
  });

  it('take no extension while they are being deleted, and say by which task', async () => {
    const instance = await server.running('going', { spec: { expiresAt: at(3 * hour) } });
    server.cloud.program({ verb: 'deleteServer', delay: 60_000, times: 1 });
    const deletion = await server.admin.delete(address(instance));
    const body = { hours: 1 };
    const reply = await server.admin.refused(
      'being_deleted',
      'POST',
      `${address(instance)}/extend_expiration`,
      { body },
    );
    expect(reply.body.blockedBy).to.equal(deletion.headers.get('location'));
    server.cloud.clearProgram();
    await server.admin.post(`${deletion.headers.get('location')?.slice(server.url.length) ?? ''}/abort`);
  });

  it('are extended by hours or up to a time, never shortened, and no further than the site allows', async () => {
    const instance = await server.running('extended', { spec: { expiresAt: at(10 * hour) } });
    const until = at(12 * hour);
    const reply = await extend(instance, { expiresAt: until });
    expect(reply.status).to.equal(200);
    expect(reply.body.spec.expiresAt).to.equal(until);
    expect(reply.headers.get('etag')).to.equal(
      (await server.admin.get(address(instance))).headers.get('etag'),
    );
    for (const body of [{ expiresAt: at(11 * hour) }, { expiresAt: at(60 * hour) }, { hours: 40 }])
      await server.admin.refused('unprocessable', 'POST', `${address(instance)}/extend_expiration`, { body });
    for (const body of [{}, { hours: 0 }, { hours: '1' }, { hours: 1, expiresAt: until }, { add_hours: 1 }])
      await server.admin.refused('invalid_body', 'POST', `${address(instance)}/extend_expiration`, { body });
    expect((await extend(instance, { hours: 1 }, { 'If-Match': '"0"' })).status).to.equal(412);
    const immortal = await server.running('endless');
    await server.admin.refused('unprocessable', 'POST', `${address(immortal)}/extend_expiration`, {
      body: { hours: 1 },
    });
    expect((await extend(immortal, { expiresAt: until })).body.spec.expiresAt).to.equal(until);
  });

  it('extended twice under one Idempotency-Key are extended once', async () => {
    const instance = await server.running('once', { spec: { expiresAt: at(5 * hour) } });
    const replies = [];
    for (let n = 0; n < 2; n += 1)
      replies.push(await extend(instance, { hours: 1 }, { 'Idempotency-Key': 'extend-once-1' }));
    expect(replies[1]?.text).to.equal(replies[0]?.text);
    const { body } = await server.admin.get<Instance>(address(instance));
    expect(Date.parse(body.spec.expiresAt ?? '') - Date.parse(instance.spec.expiresAt ?? '')).to.equal(hour);
  });

  it('are for members of their project', async () => {
    const instance = await server.running('private', { spec: { expiresAt: at(hour) } });
    const person = await addPerson(server.app, 'stranger');
    const body = { hours: 1 };
    await person.api.refused('not_found', 'POST', `${address(instance)}/extend_expiration`, { body });
  });
});
