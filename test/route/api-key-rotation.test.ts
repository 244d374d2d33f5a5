/** API keys that are rotated, and when they were last used. */
import { expect } from 'chai';
import { replace } from '../../src/data/store/port.js';
import { formerKeys } from '../../src/data/user.js';
import type { ApiKey, NewApiKey } from '../../src/model/api-key.js';
import type { AuditEvent } from '../../src/model/audit.js';
import { Api } from '../support/conform.js';
import { EventStream } from '../support/event-stream.js';
import { eventually } from '../support/eventually.js';
import { absentId } from '../support/fuzz-seed.js';
import { addPerson, addProject, type Person } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('the rotation of API keys', () => {
  let server: TestServer;
  let person: Person;
  let path: string;
  let count = 0;

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
    person = await addPerson(server.app, 'rotating');
    path = `/api/v2/users/${person.id}/apikeys`;
  });
  after(() => server.stop());

  async function made(spec?: object): Promise<NewApiKey> {
    const metadata = { name: `rotated-${(count += 1)}`, expiry: '2035-01-31T12:00:00.000Z' };
    const reply = await person.api.post<NewApiKey>(path, {
      metadata,
      ...(spec === undefined ? {} : { spec }),
    });
    expect(reply.status, reply.text).to.equal(201);
    return reply.body;
  }

  async function rotated({ metadata }: NewApiKey, body: object = {}): Promise<NewApiKey> {
    const at = `${path}/${metadata.id}`;
    const reply = await person.api.post<NewApiKey>(`${at}/rotate`, body);
    expect(reply.status, reply.text).to.equal(201);
    expect(reply.headers.get('location')).to.equal(server.url + at);
    expect(reply.headers.get('cache-control')).to.equal('no-store');
    return reply.body;
  }

  const statusOf = async ({ key }: NewApiKey) =>
    (await Api.withKey(server.url, key).get('/api/version')).status;

  async function end({ metadata }: NewApiKey): Promise<void> {
    const { store } = server.app;
    const formers = await store.page(formerKeys, {
      order: 'id',
      filter: { key_id: metadata.id },
      limit: 10,
    });
    const until = new Date(Date.now() - 1).toISOString();
    await store.write(formers.map((former) => replace(formerKeys, former, { ...former.value, until })));
  }

  it('gives a new secret once; the former one ends at once without an overlap', async () => {
    const first = await made({ role: 'operator' });
    expect(await statusOf(first)).to.equal(200);
    const second = await rotated(first);
    expect(second.metadata).to.deep.equal(first.metadata);
    expect(second.spec).to.deep.equal({ role: 'operator' });
    expect(second.status?.rotationTime).to.be.a('string');
    expect(second.key)
      .to.match(/^copse_[\w-]{43}$/)
      .and.not.to.equal(first.key);
    expect([await statusOf(first), await statusOf(second)]).to.deep.equal([401, 200]);
    const shown = await person.api.get<ApiKey>(`${path}/${first.metadata.id}`);
    expect(shown.text).not.to.include(second.key).and.not.to.include('hash');
  });

  it('leaves former secrets valid until the overlap ends, and no longer', async () => {
    const first = await made();
    const second = await rotated(first, { overlap: 3600 });
    const third = await rotated(first, { overlap: 3600 });
    for (const key of [first, second, third]) expect(await statusOf(key)).to.equal(200);
    await end(first);
    expect([await statusOf(first), await statusOf(second), await statusOf(third)]).to.deep.equal([
      401, 401, 200,
    ]);
    const fourth = await rotated(first, { overlap: 3600 });
    const fifth = await rotated(first);
    for (const key of [first, second, third, fourth]) expect(await statusOf(key)).to.equal(401);
    expect(await statusOf(fifth)).to.equal(200);
  });

  it('ends every secret with the key, and streams with their secret', async () => {
    const first = await made();
    const streams = [await EventStream.open({ url: server.url, key: first.key })];
    const second = await rotated(first, { overlap: 3600 });
    streams.push(await EventStream.open({ url: server.url, key: second.key }));
    await end(first);
    expect(await streams[0]?.next()).to.be.undefined;
    const third = await rotated(first, { overlap: 3600 });
    expect((await person.api.delete(`${path}/${first.metadata.id}`)).status).to.equal(204);
    expect(await streams[1]?.next()).to.be.undefined;
    for (const key of [first, second, third]) expect(await statusOf(key)).to.equal(401);
  });

  it('gives no fresh count of instances, and no wider limits', async () => {
    const project = await addProject(server.app, { name: 'counted', admins: [person] });
    const first = await made({ maxInstances: 1, role: 'operator' });
    const create = async ({ key }: NewApiKey, name: string) =>
      (
        await Api.withKey(server.url, key).post(
          '/api/v2/instances',
          server.instanceBody(name, { spec: { projectId: project.id } }),
        )
      ).status;
    expect(await create(first, 'one')).to.equal(201);
    const second = await rotated(first, { overlap: 60 });
    expect([await create(first, 'two'), await create(second, 'two')]).to.deep.equal([403, 403]);
    for (const body of [{ spec: {} }, { spec: { role: 'admin' } }, { metadata: {} }, { key: 'mine' }])
      await person.api.refused('invalid_body', 'POST', `${path}/${first.metadata.id}/rotate`, { body });
    for (const overlap of [-1, 1.5, 10 ** 9, '60', null])
      await person.api.refused('invalid_body', 'POST', `${path}/${first.metadata.id}/rotate`, {
        body: { overlap },
      });
    const limited = Api.withKey(server.url, second.key);
    await limited.refused('forbidden', 'POST', `${path}/${first.metadata.id}/rotate`, { body: {} });
  });

  it('is nobody else’s, and keeps at most ten former secrets', async () => {
    const key = await made();
    const other = await addPerson(server.app, 'other-rotating');
    for (const at of [
      `${path}/${key.metadata.id}`,
      `/api/v2/users/${other.id}/apikeys/${key.metadata.id}`,
      `/api/v2/users/${other.id}/apikeys/${absentId}`,
    ])
      await other.api.refused('not_found', 'POST', `${at}/rotate`, { body: {} });
    for (let n = 0; n < 10; n += 1) await rotated(key, { overlap: 60 });
    await person.api.refused('unprocessable', 'POST', `${path}/${key.metadata.id}/rotate`, {
      body: { overlap: 60 },
    });
    await rotated(key);
    await rotated(key, { overlap: 60 });
  });

  it('is recorded, as are creation and revocation, without any secret', async () => {
    const first = await made();
    const second = await rotated(first, { overlap: 60 });
    await person.api.delete(`${path}/${first.metadata.id}`);
    const { body, text } = await server.admin.get<AuditEvent[]>(
      `/api/v2/admin/events?resourceID=${first.metadata.id}`,
    );
    expect(body.map(({ action, user }) => [action, user.name])).to.deep.equal([
      ['apikey.create', 'rotating'],
      ['apikey.rotate', 'rotating'],
      ['apikey.delete', 'rotating'],
    ]);
    const { users } = server.app.connector;
    for (const { key } of [first, second])
      for (const secret of [key, users.hash(key)]) expect(text).not.to.include(secret);
  });
});

describe('the last use of an API key', () => {
  it('is shown soon, and written at most once a minute', async () => {
    const server = await startServer();
    try {
      const person = await addPerson(server.app, 'using');
      const path = `/api/v2/users/${person.id}/apikeys/${person.keyId}`;
      const begin = Date.now();
      const seen = () =>
        eventually(async () => (await person.api.get<ApiKey>(path)).body.status?.lastUsedTime, {
          what: 'the last use',
        });
      const time = await seen();
      expect(Date.parse(time)).to.be.within(begin, Date.now());
      for (let n = 0; n < 20; n += 1) await person.api.get('/api/version');
      expect(await seen()).to.equal(time);
      const list = await person.api.get<ApiKey[]>(`/api/v2/users/${person.id}/apikeys`);
      expect(list.body.map(({ status }) => status?.lastUsedTime)).to.deep.equal([time]);
      const unused = await person.api.post<NewApiKey>(`/api/v2/users/${person.id}/apikeys`, {
        metadata: { name: 'unused' },
      });
      expect(unused.body).not.to.have.property('status');
    } finally {
      await server.stop();
    }
  });
});
