import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import type { AuditEvent } from '../../src/model/audit.js';
import type { Subscription, WrittenSubscription } from '../../src/model/subscription.js';
import type { Delivery, DeliveryWithPayload } from '../../src/model/webhook.js';
import type { Api } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { Receiver, webhookFlags } from '../support/receiver.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/subscriptions';

describe('subscriptions', () => {
  let server: TestServer;
  let receiver: Receiver;
  let admin: Person;
  let operator: Person;
  let stranger: Person;
  let project: SeededProject;

  before(async () => {
    server = await startServer({ flags: { ...webhookFlags, limits: { requests: 0 } } });
    admin = await addPerson(server.app, 'sub-admin');
    operator = await addPerson(server.app, 'sub-operator');
    stranger = await addPerson(server.app, 'sub-stranger');
    project = await addProject(server.app, { name: 'told', admins: [admin], members: [operator] });
  });
  after(() => server.stop());
  beforeEach(async () => {
    receiver = await Receiver.start();
  });
  afterEach(() => receiver.stop());

  async function subscribe(api: Api, more: object = {}): Promise<WrittenSubscription> {
    const subscriber = { type: 'webhook', url: receiver.url };
    const reply = await api.post<WrittenSubscription>(path, { subscriber, ...more });
    expect(reply.status, reply.text).to.equal(201);
    return reply.body;
  }

  const secretOf = ({ subscriber }: WrittenSubscription) => subscriber.secret ?? '';

  const deliveriesOf = async (id: string, api: Api): Promise<Delivery[]> =>
    (await api.get<Delivery[]>(`${path}/${id}/deliveries`)).body;

  it('are created, listed, updated by a second POST with the same id, and deleted', async () => {
    const made = await subscribe(operator.api);
    expect(secretOf(made)).to.match(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(made).to.deep.include({ ownerType: 'user', owner: operator.id, selectors: [] });
    expect(made.status).to.deep.equal({ state: 'active' });

    const { subscriber: _, ...rest } = made;
    const shown = { ...rest, subscriber: { type: 'webhook', url: receiver.url } };
    const one = await operator.api.get<Subscription>(`${path}/${made.id}`);
    expect(one.body).to.deep.equal(shown);
    expect((await operator.api.get(path)).body).to.deep.equal([shown]);

    const selectors = [{ type: 'resource', data: 'task' }];
    const subscriber = { type: 'webhook', url: `${receiver.url}/2` };
    const again = await operator.api.post<WrittenSubscription>(path, { id: made.id, selectors, subscriber });
    expect(again.status).to.equal(200);
    expect(again.body).to.deep.include({ selectors, subscriber, createdBy: 'sub-operator' });

    expect((await operator.api.delete(`${path}?id=${made.id}`)).status).to.equal(204);
    await operator.api.refused('not_found', 'DELETE', `${path}/${made.id}`);
    await operator.api.refused('invalid_parameter', 'DELETE', path);
    expect((await operator.api.get(path)).body).to.deep.equal([]);

    const { body } = await server.admin.get<AuditEvent[]>(`/api/v2/admin/events?resourceID=${made.id}`);
    expect(body.map(({ action }) => action)).to.deep.equal(
      ['create', 'update', 'delete'].map((verb) => `subscription.${verb}`),
    );
    expect(JSON.stringify(body)).not.to.include('whsec_');
  });

  it('tell their owner what happens, signed, each event once', async () => {
    const made = await subscribe(admin.api, { ownerType: 'project', owner: project.id });
    const foreign = await server.createInstance('not-told');
    const instance = await server.createInstance('told', { spec: { projectId: project.id } }, admin.api);
    await server.settled(instance.metadata.id);
    const task = await eventually(() =>
      receiver
        .verified(secretOf(made), 'task.updated')
        .find(({ event }) => (event.data['resource'] as { status: string }).status === 'succeeded'),
    );
    expect(task.headers['content-type']).to.equal('application/json');
    const [created] = receiver.verified(secretOf(made), 'instance.created');
    expect(created?.event.data['resource']).to.deep.include({ spec: instance.spec });
    expect(created?.event.data['projectId']).to.equal(project.id);
    expect(receiver.received.map(({ event }) => event.data['resourceId'])).not.to.include(
      foreign.metadata.id,
    );
    expect(new Set(receiver.ids()).size).to.equal(receiver.ids().length);
    const done = await eventually(async () => {
      const all = await deliveriesOf(made.id, admin.api);
      return all.every(({ status }) => status === 'succeeded') && all.length > 3 ? all : undefined;
    });
    expect(done.map(({ id }) => id)).to.include.members(receiver.ids());
    expect(done[0]).to.deep.include({ attempts: 1, lastStatusCode: 204, subscriptionId: made.id });
    await admin.api.delete(`${path}/${made.id}`);
  });

  it('select by resource, type, tag and outcome', async () => {
    const owner = { ownerType: 'project', owner: project.id };
    const failed = await subscribe(admin.api, {
      ...owner,
      selectors: [
        { type: 'resource', data: 'task' },
        { type: 'outcome', data: 'succeeded' },
      ],
    });
    const tagged = await subscribe(admin.api, {
      ...owner,
      selectors: [
        { type: 'type', data: 'instance.created' },
        { type: 'tag', data: 'team=red' },
      ],
    });
    const spec = { projectId: project.id };
    await server.running('blue', { spec, metadata: { tags: [{ name: 'team', value: 'blue' }] } }, admin.api);
    const red = await server.running(
      'red',
      { spec, metadata: { tags: [{ name: 'team', value: 'red' }] } },
      admin.api,
    );
    const ended = await eventually(async () => {
      const all = await deliveriesOf(failed.id, admin.api);
      return all.length === 2 && all.every(({ status }) => status === 'succeeded') ? all : undefined;
    });
    expect(ended.map(({ type }) => type)).to.deep.equal(['task.updated', 'task.updated']);
    const chosen = await deliveriesOf(tagged.id, admin.api);
    expect(chosen.map(({ type, resourceId }) => [type, resourceId])).to.deep.equal([
      ['instance.created', red.metadata.id],
    ]);
    for (const { id } of [failed, tagged]) await admin.api.delete(`${path}/${id}`);
  });

  it('tell the audit trail to superusers only', async () => {
    const selectors = [{ type: 'resource', data: 'audit' }];
    const made = await subscribe(server.admin, { selectors });
    const other = await subscribe(operator.api, { selectors });
    await server.admin.call('PUT', '/api/v2/admin/banner', { body: { banner: 'Hello', theme: '' } });
    const told = await eventually(() => receiver.verified(secretOf(made), 'audit.banner.update')[0]);
    expect(told.event.data['record']).to.deep.include({ action: 'banner.update' });
    expect(await deliveriesOf(other.id, operator.api)).to.deep.equal([]);
    for (const { id } of [made, other]) await server.admin.delete(`${path}/${id}`);
  });

  it('retry with backoff, and are disabled after lasting failure until they are posted again', async () => {
    const made = await subscribe(operator.api);
    receiver.answer = () => ({ status: 500 });
    const ping = await operator.api.post<Delivery>(`${path}/${made.id}/ping`);
    expect(ping.status).to.equal(202);
    const disabled = await eventually(async () => {
      const { body } = await operator.api.get<Subscription>(`${path}/${made.id}`);
      return body.status.state === 'disabled' ? body : undefined;
    });
    expect(disabled.status.reason).to.include('failed 3 times');
    const address = `${path}/${made.id}/deliveries/${ping.body.id}`;
    const failed = await operator.api.get<DeliveryWithPayload>(address);
    expect(failed.body).to.deep.include({ status: 'failed', attempts: 3, lastStatusCode: 500 });
    expect(JSON.parse(failed.body.payload)).to.deep.include({ type: 'webhook.ping' });
    expect(new Set(receiver.ids())).to.deep.equal(new Set([ping.body.id]));
    expect(receiver.received).to.have.length(3);
    await operator.api.refused('conflict', 'POST', `${path}/${made.id}/ping`);
    await operator.api.refused('conflict', 'POST', `${address}/replay`);

    receiver.answer = () => ({ status: 200 });
    const subscriber = { type: 'webhook', url: receiver.url };
    const again = await operator.api.post<Subscription>(path, { id: made.id, subscriber });
    expect(again.body.status).to.deep.equal({ state: 'active' });
    expect((await operator.api.post(`${address}/replay`)).status).to.equal(202);
    const sent = await eventually(async () => {
      const { body } = await operator.api.get<Delivery>(address);
      return body.status === 'succeeded' ? body : undefined;
    });
    expect(sent.attempts).to.equal(4);
    expect(receiver.ids().at(-1)).to.equal(ping.body.id);
    await operator.api.delete(`${path}/${made.id}`);
  });

  it('are disabled at once by 410, and follow no redirect', async () => {
    const made = await subscribe(operator.api);
    receiver.answer = ({ path: asked }) =>
      asked === '/hook' ? { status: 302, headers: { location: '/elsewhere' } } : { status: 200 };
    const ping = await operator.api.post<Delivery>(`${path}/${made.id}/ping`);
    const address = `${path}/${made.id}/deliveries/${ping.body.id}`;
    const redirected = await eventually(async () => {
      const { body } = await operator.api.get<Delivery>(address);
      return body.lastStatusCode === 302 ? body : undefined;
    });
    expect(redirected.lastError).to.include('redirects are not followed');
    receiver.answer = () => ({ status: 410 });
    const disabled = await eventually(async () => {
      const { body } = await operator.api.get<Subscription>(`${path}/${made.id}`);
      return body.status.state === 'disabled' ? body : undefined;
    });
    expect(disabled.status.reason).to.exist;
    expect(receiver.received.map((one) => one.path)).to.not.include('/elsewhere');
    await operator.api.delete(`${path}/${made.id}`);
  });

  it('belong to their owners: nobody else sees, changes or uses one', async () => {
    const mine = await subscribe(operator.api);
    const ours = await subscribe(admin.api, { ownerType: 'project', owner: project.id });
    const ping = await operator.api.post<Delivery>(`${path}/${mine.id}/ping`);
    const subscriber = { type: 'webhook', url: receiver.url };
    for (const { id } of [mine, ours]) {
      const one = `${path}/${id}`;
      for (const [method, at] of [
        ['GET', one],
        ['DELETE', one],
        ['DELETE', `${path}?id=${id}`],
        ['POST', `${one}/ping`],
        ['GET', `${one}/deliveries`],
        ['GET', `${one}/deliveries/${ping.body.id}`],
        ['POST', `${one}/deliveries/${ping.body.id}/replay`],
      ] as const)
        await stranger.api.refused('not_found', method, at);
      await stranger.api.refused('not_found', 'POST', path, { body: { id, subscriber } });
    }
    await operator.api.refused('forbidden', 'GET', `${path}/${ours.id}`);
    // Its own subscription does not open the deliveries of another one.
    const theirs = await subscribe(stranger.api);
    await stranger.api.refused('not_found', 'GET', `${path}/${theirs.id}/deliveries/${ping.body.id}`);
    await stranger.api.refused('not_found', 'POST', `${path}/${theirs.id}/deliveries/${ping.body.id}/replay`);

    for (const owner of [operator.id, uuidv7()]) {
      await stranger.api.refused('not_found', 'POST', path, { body: { owner, subscriber } });
      await stranger.api.refused('not_found', 'GET', `${path}?owner=${owner}`);
    }
    const ofProject = { ownerType: 'project', owner: project.id, subscriber };
    await stranger.api.refused('not_found', 'POST', path, { body: ofProject });
    await operator.api.refused('forbidden', 'POST', path, { body: ofProject });
    await operator.api.refused('unprocessable', 'POST', path, {
      body: { id: mine.id, owner: stranger.id, subscriber },
    });
    expect((await server.admin.get(`${path}?owner=${operator.id}`)).body).to.have.length(1);
    for (const { id } of [mine, ours, theirs]) await server.admin.delete(`${path}/${id}`);
  });

  it('refuse selectors that can never match, and URLs and secrets that are none', async () => {
    const subscriber = { type: 'webhook', url: receiver.url };
    for (const selector of [
      { type: 'resource', data: 'instances' },
      { type: 'type', data: 'instance.create' },
      { type: 'outcome', data: 'success' },
    ]) {
      const { body } = await operator.api.refused('unprocessable', 'POST', path, {
        body: { subscriber, selectors: [selector] },
      });
      expect(body.errors?.[0]?.pointer).to.equal('/selectors/0/data');
    }
    for (const url of [
      'ftp://example.com/',
      'https://user:secret@example.com/',
      'https://example.com/#part',
      'https://example.com/\r\nX-Injected: 1',
      'https://exam\tple.com/',
      '/relative',
      'javascript:alert(1)',
    ]) {
      const { body } = await operator.api.refused('unprocessable', 'POST', path, {
        body: { subscriber: { type: 'webhook', url } },
      });
      expect(body.errors?.[0]?.pointer, url).to.equal('/subscriber/url');
    }
    for (const secret of [
      '',
      'secret',
      'whsec_short',
      `whsec_${'A'.repeat(31)}\n`,
      `whsec_${'='.repeat(40)}`,
    ]) {
      const body = { subscriber: { ...subscriber, secret } };
      await operator.api.refused('invalid_body', 'POST', path, { body });
    }
  });
});
