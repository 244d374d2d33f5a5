/** What superusers change while the site runs: settings, service flags, the banner; who may, and what it does at once. */
import { expect } from 'chai';
import type { AuditEvent } from '../../src/model/audit.js';
import type { Instance } from '../../src/model/instance.js';
import type { Banner, Settings } from '../../src/model/settings.js';
import { Api } from '../support/conform.js';
import { EventStream } from '../support/event-stream.js';
import { eventually } from '../support/eventually.js';
import { addPerson, type Person } from '../support/people.js';
import { messageOf, startServer, type TestServer } from '../support/server.js';

const settingsPath = '/api/v2/admin/settings';
const flagsPath = '/api/v2/admin/service_flags';
const bannerPath = '/api/v2/admin/banner';
const day = 86_400_000;

describe('the settings of the site', () => {
  let server: TestServer;
  let anna: Person;

  beforeEach(async () => {
    server = await startServer({ flags: { limits: { requests: 5000, window: 60 } } });
    anna = await addPerson(server.app, 'anna');
  });
  afterEach(() => server.stop());

  const patch = (body: unknown, headers: Record<string, string> = {}) =>
    server.admin.call<Settings>('PATCH', settingsPath, { body, headers });
  const events = async () => (await server.admin.get<AuditEvent[]>('/api/v2/admin/events')).body;

  it('are those of the configuration until they are set, and again after null', async () => {
    const first = await server.admin.get<Settings>(settingsPath);
    const configured = {
      superUsers: ['admin'],
      limits: { requests: 5000, window: 60 },
      instances: { maxLifetime: 90, expiryWarning: 24, trash: 0 },
    };
    const { limits, instances } = configured;
    expect(first.body).to.deep.equal({ superUsers: [], limits, instances, configured });
    const set = await patch({ limits: { requests: 70 }, instances: { maxLifetime: 3, defaultLifetime: 2 } });
    expect(set.body.limits).to.deep.equal({ requests: 70, window: 60 });
    expect(set.body.instances).to.deep.equal({ ...instances, maxLifetime: 3, defaultLifetime: 2 });
    expect(set.headers.get('etag')).not.to.equal(first.headers.get('etag'));
    const unset = await patch({ limits: null, instances: { maxLifetime: null, defaultLifetime: null } });
    expect(unset.body).to.deep.equal(first.body);
  });

  it('make superusers, and take it back, with the next request', async () => {
    await anna.api.refused('not_found', 'GET', settingsPath);
    await anna.api.refused('not_found', 'PATCH', settingsPath, { body: { superUsers: ['anna'] } });
    expect((await patch({ superUsers: ['anna'] })).status).to.equal(200);
    expect((await anna.api.get(settingsPath)).status).to.equal(200);
    // Those of the configuration stay.
    expect((await patch({ superUsers: [] })).status).to.equal(200);
    await anna.api.refused('not_found', 'GET', settingsPath);
  });

  it('end the event stream of who is no longer a superuser', async () => {
    await patch({ superUsers: ['anna'] });
    const stream = await EventStream.open({ url: server.url, key: anna.key });
    await patch({ superUsers: [] });
    expect(await stream.next()).to.equal(undefined);
  });

  it('refuse what is not valid, by name, and store nothing then', async () => {
    const cases: [unknown, 'invalid_body' | 'invalid_reference', string][] = [
      [{ superUsers: ['nobody-yet'] }, 'invalid_reference', '/superUsers/0'],
      [{ superUsers: ['anna', 'anna'] }, 'invalid_body', '/superUsers'],
      [{ superUsers: ['Anna!'] }, 'invalid_body', '/superUsers/0'],
      [{ limits: { requests: -1 } }, 'invalid_body', '/limits/requests'],
      [{ limits: { requests: 9 } }, 'invalid_body', '/limits/requests'],
      [{ limits: { window: 60 } }, 'invalid_body', '/limits/window'],
      [{ instances: { defaultLifetime: 91 } }, 'invalid_body', '/instances/defaultLifetime'],
      [{ instances: { maxLifetime: 0 } }, 'invalid_body', '/instances/maxLifetime'],
      [{ adminKey: 'x' }, 'invalid_body', '/adminKey'],
      [{ configured: {} }, 'invalid_body', '/configured'],
    ];
    for (const [body, code, pointer] of cases) {
      const reply = await server.admin.refused(code, 'PATCH', settingsPath, { body });
      expect(reply.body.errors?.[0]?.pointer, reply.text).to.equal(pointer);
    }
    expect(await events()).to.deep.equal([]);
  });

  it('honour If-Match, and write nothing for a change that changes nothing', async () => {
    const tag = (await server.admin.get(settingsPath)).headers.get('etag') ?? '';
    const changed = await patch({ limits: { requests: 4000 } }, { 'If-Match': tag });
    expect(changed.status, changed.text).to.equal(200);
    await server.admin.refused('precondition_failed', 'PATCH', settingsPath, {
      body: { limits: { requests: 3000 } },
      headers: { 'If-Match': tag },
    });
    const same = await patch({ limits: { requests: 4000 } });
    expect(same.headers.get('etag')).to.equal(changed.headers.get('etag'));
    expect(await events()).to.have.length(1);
    const unmodified = await server.admin.get(settingsPath, {
      headers: { 'If-None-Match': changed.headers.get('etag') ?? '' },
    });
    expect(unmodified.status).to.equal(304);
  });

  it('of the rate limit count from the next request on', async () => {
    await patch({ limits: { requests: 10 } });
    const codes = new Set<string | null>();
    for (let n = 0; n < 20; n += 1)
      codes.add((await anna.api.get('/api/v2/projects')).headers.get('x-error-code'));
    expect([...codes]).to.deep.equal([null, 'rate_limited']);
    expect((await patch({ limits: null })).status).to.equal(200);
    const { headers } = await anna.api.get('/api/v2/projects');
    expect(headers.get('ratelimit-policy')).to.equal('"default";q=5000;w=60');
  });

  it('of expiries count from the next create on', async () => {
    await patch({ instances: { defaultLifetime: 2, maxLifetime: 3 } });
    const before = Date.now();
    const { spec, metadata } = await server.createInstance('short');
    const expiresAt = Date.parse(spec.expiresAt ?? '');
    expect(expiresAt).to.be.within(before + 2 * day, Date.now() + 2 * day);
    const late = { expiresAt: new Date(Date.now() + 4 * day).toISOString() };
    const path = `/api/v2/instances/${metadata.id}/extend_expiration`;
    await server.admin.refused('unprocessable', 'POST', path, { body: late });
    await patch({ instances: null });
    expect((await server.admin.post(path, late)).status).to.equal(200);
    expect((await server.createInstance('endless')).spec.expiresAt).to.equal(undefined);
    for (const { id } of [metadata, (await list()).at(-1)?.metadata ?? metadata])
      await server.deleteInstance(id);
  });
  const list = async () => (await server.admin.get<Instance[]>('/api/v2/instances')).body;
});

describe('the service flags', () => {
  let server: TestServer;

  beforeEach(async () => {
    server = await startServer();
  });
  afterEach(() => server.stop());

  const set = async (method: 'PUT' | 'PATCH', body: Record<string, boolean | null>) => {
    const reply = await server.admin.call<Record<string, boolean>>(method, flagsPath, { body });
    expect(reply.status, reply.text).to.equal(200);
    return reply.body;
  };
  const off = (flags: Record<string, boolean>) => Object.keys(flags).filter((name) => flags[name] !== true);

  it('are all on at first; PATCH sets those it names, PUT all', async () => {
    const { body } = await server.admin.get<Record<string, boolean>>(flagsPath);
    expect(Object.keys(body)).to.include.members(['creation', 'instance.create', 'instance.delete']);
    expect(off(body)).to.deep.equal([]);
    expect(off(await set('PATCH', { creation: false }))).to.deep.equal(['creation']);
    expect(off(await set('PATCH', { 'instance.stop': false }))).to.deep.equal(['creation', 'instance.stop']);
    expect(off(await set('PATCH', { creation: null }))).to.deep.equal(['instance.stop']);
    expect(off(await set('PUT', { creation: false }))).to.deep.equal(['creation']);
    for (const body of [{ 'instance.fly': false }, { creation: 'no' }])
      await server.admin.refused('invalid_body', 'PATCH', flagsPath, { body });
    const anna = await addPerson(server.app, 'anna');
    for (const method of ['GET', 'PUT', 'PATCH'])
      await anna.api.refused('not_found', method, flagsPath, method === 'GET' ? {} : { body: {} });
  });

  it('refuse creates with 503, and say who can change that', async () => {
    await set('PATCH', { creation: false });
    const reply = await server.admin.refused('switched_off', 'POST', '/api/v2/instances', {
      body: server.instanceBody('refused'),
      failing: 503,
    });
    expect(messageOf(reply)).to.match(/superuser.*"creation".*\/api\/v2\/admin\/service_flags/);
    expect(reply.headers.get('retry-after')).to.equal('60');
    await set('PATCH', { creation: true });
    await server.deleteInstance((await server.createInstance('accepted')).metadata.id);
  });

  it('let tasks of a type wait until it is on again, and others go on', async () => {
    const running = await server.running('running');
    await set('PATCH', { 'instance.create': false });
    const waiting = await server.createInstance('waiting');
    const stop = await server.admin.post(`/api/v2/instances/${running.metadata.id}/stop`);
    expect(await server.ended(stop.headers.get('location'))).to.include({ status: 'succeeded' });
    expect(await server.task(waiting.status.taskId)).to.deep.include({ status: 'pending', attempts: [] });
    await set('PUT', {});
    await eventually(async () => (await server.task(waiting.status.taskId)).status === 'succeeded');
    for (const { metadata } of [running, waiting]) await server.deleteInstance(metadata.id);
  });
});

describe('the banner', () => {
  let server: TestServer;

  beforeEach(async () => {
    server = await startServer();
  });
  afterEach(() => server.stop());

  it('is set by superusers and read by everybody', async () => {
    const anybody = new Api(server.url);
    expect((await anybody.get(bannerPath)).body).to.deep.equal({ banner: '', theme: '' });
    const banner: Banner = { banner: 'Maintenance at <20:00> UTC', theme: 'warning' };
    expect((await server.admin.put(bannerPath, banner)).body).to.deep.equal(banner);
    const shown = await anybody.get(bannerPath);
    expect(shown.body).to.deep.equal(banner);
    const headers = { 'If-None-Match': shown.headers.get('etag') ?? '' };
    expect((await anybody.get(bannerPath, { headers })).status).to.equal(304);
    await anybody.refused('unauthorized', 'PUT', bannerPath, { body: banner });
    const anna = await addPerson(server.app, 'anna');
    await anna.api.refused('not_found', 'PUT', bannerPath, { body: banner });
  });

  it('is not changed by half: text and theme are valid, or neither is stored', async () => {
    const bodies = [
      { banner: 'new', theme: 'loud' },
      { banner: 'new' },
      { theme: 'warning' },
      { banner: 'x'.repeat(2001), theme: '' },
      { banner: 7, theme: '' },
    ];
    for (const body of bodies) await server.admin.refused('invalid_body', 'PUT', bannerPath, { body });
    expect((await server.admin.get(bannerPath)).body).to.deep.equal({ banner: '', theme: '' });
  });
});
