import { expect } from 'chai';
import { idempotency } from '../../src/data/idempotency-claim.js';
import { replace } from '../../src/data/store/port.js';
import { apiKeys } from '../../src/data/user.js';
import type { ApiKey, NewApiKey } from '../../src/model/api-key.js';
import { Api } from '../support/conform.js';
import { EventStream } from '../support/event-stream.js';
import { absentId } from '../support/fuzz-seed.js';
import { addPerson, type Person } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('/api/v2/users/{userID}/apikeys', () => {
  let server: TestServer;
  let person: Person;
  let path: string;

  const create = async (metadata: object, api = person.api) => {
    const reply = await api.post<NewApiKey>(path, { metadata });
    expect(reply.status, reply.text).to.equal(201);
    return reply;
  };

  before(async () => {
    server = await startServer();
    person = await addPerson(server.app, 'keyed');
    path = `/api/v2/users/${person.id}/apikeys`;
  });
  after(() => server.stop());

  it('show a new key once, which then lets its user in, and never its hash', async () => {
    const expiry = '2035-01-31T12:00:00.000Z';
    const { body, headers } = await create({ name: 'laptop', expiry });
    const { key, metadata } = body;
    expect(key).to.match(/^copse_[\w-]{43}$/);
    expect(metadata).to.include({ name: 'laptop', userId: person.id, createdBy: 'keyed', expiry });
    expect(headers.get('cache-control')).to.equal('no-store');
    expect(headers.get('location')).to.equal(`${server.url}${path}/${metadata.id}`);
    expect((await Api.withKey(server.url, key).get('/api/version')).status).to.equal(200);

    const one = await person.api.get<ApiKey>(`${path}/${metadata.id}`);
    expect(one.body.metadata).to.deep.equal(metadata);
    expect(one.body).not.to.have.property('key');
    const list = await person.api.get<ApiKey[]>(path);
    expect(list.body.map((item) => item.metadata.name)).to.deep.equal(['test', 'laptop']);
    const hash = server.app.connector.users.hash(key);
    for (const { text } of [one, list])
      for (const secret of [key, hash, 'hash']) expect(text).not.to.include(secret);
  });

  it('are created by a superuser for another user, and by nobody else', async () => {
    const { body } = await create({ name: 'from-above' }, server.admin);
    expect(body.metadata.createdBy).to.equal('admin');
    const other = await addPerson(server.app, 'other-person');
    for (const user of [person.id, absentId]) {
      const foreign = `/api/v2/users/${user}/apikeys`;
      for (const [method, at, options] of [
        ['GET', foreign, {}],
        ['POST', foreign, { body: { metadata: { name: 'mine-now' } } }],
        ['GET', `${foreign}/${body.metadata.id}`, {}],
        ['DELETE', `${foreign}/${body.metadata.id}`, {}],
      ] as const)
        await other.api.refused('not_found', method, at, options);
    }
    // Nor through one's own path.
    const own = `/api/v2/users/${other.id}/apikeys/${body.metadata.id}`;
    await other.api.refused('not_found', 'GET', own);
    await other.api.refused('not_found', 'DELETE', own);
    expect((await Api.withKey(server.url, body.key).get('/api/version')).status).to.equal(200);
    await server.admin.refused('not_found', 'POST', `/api/v2/users/${absentId}/apikeys`, {
      body: { metadata: { name: 'nobody' } },
    });
  });

  it('are refused from the moment at which they are revoked', async () => {
    const { body } = await create({ name: 'revoked' });
    const api = Api.withKey(server.url, body.key);
    expect((await api.get('/api/version')).status).to.equal(200);
    expect((await api.delete(`${path}/${body.metadata.id}`)).status).to.equal(204);
    await api.refused('unauthorized', 'GET', '/api/version');
    await person.api.refused('not_found', 'GET', `${path}/${body.metadata.id}`);
    await person.api.refused('not_found', 'DELETE', `${path}/${body.metadata.id}`);
    expect((await person.api.get('/api/version')).status).to.equal(200);
  });

  it('end the event streams that they have opened when they are revoked', async () => {
    const { body } = await create({ name: 'streaming' });
    const stream = await EventStream.open({ url: server.url, key: body.key });
    await person.api.delete(`${path}/${body.metadata.id}`);
    expect(await stream.next()).to.be.undefined;
  });

  it('are refused from their expiry on, though they were just used', async () => {
    const { body } = await create({ name: 'expiring', expiry: '2035-01-31T12:00:00+01:00' });
    expect(body.metadata.expiry).to.equal('2035-01-31T11:00:00.000Z');
    const api = Api.withKey(server.url, body.key);
    expect((await api.get('/api/version')).status).to.equal(200);
    const { store } = server.app;
    const found = await store.get(apiKeys, body.metadata.id);
    if (found === undefined) throw new Error('the key is not there');
    const soon = Date.now() + 300;
    await store.write([replace(apiKeys, found, { ...found.value, expiry: new Date(soon).toISOString() })]);
    const statuses = new Set<number>();
    while (Date.now() <= soon) statuses.add((await api.get('/api/version')).status);
    expect(statuses).to.include(200);
    await api.refused('unauthorized', 'GET', '/api/version');
  });

  it('refuse a taken name, a past expiry, and what is not theirs to set', async () => {
    await create({ name: 'same' });
    await person.api.refused('name_taken', 'POST', path, { body: { metadata: { name: 'same' } } });
    const past = { metadata: { name: 'past', expiry: '2020-01-01T00:00:00Z' } };
    const reply = await person.api.refused('unprocessable', 'POST', path, { body: past });
    expect(reply.body.errors?.[0]?.pointer).to.equal('/metadata/expiry');
    for (const body of [
      {},
      { metadata: { name: 'x', expiry: 'tomorrow' } },
      { metadata: { name: 'x', userId: absentId } },
      { metadata: { name: 'x', hash: 'y' } },
      { metadata: { name: 'x' }, key: 'mine' },
    ])
      await person.api.refused('invalid_body', 'POST', path, { body });
  });

  it('are kept for no Idempotency-Key', async () => {
    const headers = { 'Idempotency-Key': '"a-key"' };
    const body = { metadata: { name: 'unstored' } };
    const { text } = await person.api.post<NewApiKey>(path, body, { headers });
    const { key } = JSON.parse(text) as NewApiKey;
    await person.api.refused('name_taken', 'POST', path, { body, headers });
    const kept = await server.app.store.page(idempotency, { order: 'id', limit: 1000 });
    expect(JSON.stringify(kept)).not.to.include(key);
    expect(server.log.entries.map((entry) => JSON.stringify(entry)).join('\n')).not.to.include(key);
  });

  it('number at most a hundred per user', async () => {
    const collector = await addPerson(server.app, 'collector');
    const at = `/api/v2/users/${collector.id}/apikeys`;
    for (let n = 1; n < 100; n += 1) await collector.api.post(at, { metadata: { name: `k-${n}` } });
    await collector.api.refused('unprocessable', 'POST', at, {
      body: { metadata: { name: 'one-too-many' } },
    });
  });
});
