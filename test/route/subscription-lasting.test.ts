/** What subscriptions keep, lose and end with: lost events, rotated secrets, readers who leave, deleted projects. */
import { expect } from 'chai';
import { Webhook } from 'standardwebhooks';
import { uuidv7 } from 'uuidv7';
import { dispatchCursors } from '../../src/data/dispatch.js';
import { insert, replace } from '../../src/data/store/port.js';
import { retrying } from '../../src/data/store/retry.js';
import { backlogLimit, deliveries, webhooks } from '../../src/data/webhook.js';
import { timestamp } from '../../src/model/common.js';
import type { QueueStatus } from '../../src/model/status.js';
import type { Subscription, WrittenSubscription } from '../../src/model/subscription.js';
import type { Delivery } from '../../src/model/webhook.js';
import type { Api } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { Receiver, webhookFlags } from '../support/receiver.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/subscriptions';
const flagsPath = '/api/v2/admin/service_flags';

describe('subscriptions in the long run', () => {
  let server: TestServer;
  let receiver: Receiver;
  let boss: Person;
  let member: Person;
  let project: SeededProject;

  before(async () => {
    server = await startServer({ flags: { ...webhookFlags, limits: { requests: 0 } } });
    boss = await addPerson(server.app, 'boss');
    member = await addPerson(server.app, 'member');
    project = await addProject(server.app, { name: 'told-long', admins: [boss], members: [member] });
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
  const shown = async (id: string, api: Api) => (await api.get<Subscription>(`${path}/${id}`)).body;
  const switched = (on: boolean) => server.admin.patch(flagsPath, { 'webhook.deliver': on });

  it('are signed with both secrets for the overlap of a rotation, and then with the new one alone', async () => {
    const made = await subscribe(member.api);
    const [first, second, third] = [
      made.subscriber.secret ?? '',
      'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
      'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD',
    ];
    const rotate = (secret: string, overlap?: number) =>
      member.api.post<Subscription>(path, {
        id: made.id,
        subscriber: {
          type: 'webhook',
          url: receiver.url,
          secret,
          ...(overlap === undefined ? {} : { overlap }),
        },
      });
    const pinged = async () => {
      const { body } = await member.api.post<Delivery>(`${path}/${made.id}/ping`);
      return eventually(() => receiver.received.find(({ headers }) => headers['webhook-id'] === body.id));
    };
    const accepts = (secret: string, { body, headers }: Awaited<ReturnType<typeof pinged>>) => {
      try {
        new Webhook(secret).verify(body, headers as Record<string, string>);
        return true;
      } catch {
        return false;
      }
    };
    expect((await rotate(second, 3600)).status).to.equal(200);
    const both = await pinged();
    expect(String(both.headers['webhook-signature']).split(' ')).to.have.length(2);
    expect([first, second, third].map((secret) => accepts(secret, both))).to.deep.equal([true, true, false]);
    expect((await rotate(third)).text).not.to.include('whsec_');
    const alone = await pinged();
    expect([first, second, third].map((secret) => accepts(secret, alone))).to.deep.equal([
      false,
      false,
      true,
    ]);
    const tooLong = {
      id: made.id,
      subscriber: { type: 'webhook', url: receiver.url, secret: first, overlap: 1e9 },
    };
    await member.api.refused('invalid_body', 'POST', path, { body: tooLong });
    await member.api.delete(`${path}/${made.id}`);
  });

  it('say how many changes left the log before they were looked at', async () => {
    const made = await subscribe(boss.api, { ownerType: 'project', owner: project.id });
    const { store } = server.app;
    await server.createInstance('unseen', { spec: { projectId: project.id } }, boss.api);
    // As if no process had dispatched anything for longer than events are kept.
    await store.trimChanges(timestamp(new Date(Date.now() + 60_000)));
    await retrying(async () => {
      const cursor = await store.get(dispatchCursors, 'site');
      if (cursor === undefined) throw new Error('nothing was dispatched yet');
      await store.write([replace(dispatchCursors, cursor, { ...cursor.value, event: 0 })]);
    });
    await server.createInstance('seen', { spec: { projectId: project.id } }, boss.api);
    const { status } = await eventually(async () => {
      const one = await shown(made.id, boss.api);
      return one.status.lost === undefined ? undefined : one;
    });
    expect(status.lost?.missed).to.be.above(1);
    expect(status.lost?.dropped).to.equal(0);
    // A write begins to count anew.
    const subscriber = { type: 'webhook', url: receiver.url };
    const again = await boss.api.post<Subscription>(path, { id: made.id, subscriber });
    expect(again.body.status).to.deep.equal({ state: 'active' });
    await boss.api.delete(`${path}/${made.id}`);
  });

  it('say how many events were dropped, because too many deliveries were waiting', async () => {
    const made = await subscribe(boss.api, { ownerType: 'project', owner: project.id });
    const { store } = server.app;
    const waiting = () =>
      insert(deliveries, uuidv7(), {
        subscriptionId: made.id,
        type: 'webhook.ping',
        payload: '{}',
        status: 'pending' as const,
        attempts: 0,
        due: Date.now() + 3_600_000,
        creationTime: timestamp(),
      });
    for (let left = backlogLimit; left > 0; left -= 500)
      await store.write(Array.from({ length: Math.min(500, left) }, waiting));
    await server.createInstance('dropped', { spec: { projectId: project.id } }, boss.api);
    const { status } = await eventually(
      async () => {
        const one = await shown(made.id, boss.api);
        return (one.status.lost?.dropped ?? 0) > 0 ? one : undefined;
      },
      { within: 15_000, what: 'the count of dropped events' },
    );
    expect(status.lost?.missed).to.equal(0);
    const { body } = await boss.api.get<Subscription[]>(`${path}?ownerType=project&owner=${project.id}`);
    expect(body[0]?.status.lost?.dropped).to.be.above(0);
    await boss.api.delete(`${path}/${made.id}`);
  }).timeout(60_000);

  it('hide what was told from a reader who has left the project since', async () => {
    const made = await subscribe(member.api, { selectors: [{ type: 'type', data: 'instance.created' }] });
    await server.createInstance('secretive', { spec: { projectId: project.id } }, member.api);
    const list = `${path}/${made.id}/deliveries`;
    const [delivery] = await eventually(async () => {
      const { body } = await member.api.get<Delivery[]>(list);
      return body[0]?.status === 'succeeded' ? body : undefined;
    });
    const one = `${list}/${delivery?.id ?? ''}`;
    expect((await member.api.get(one)).status).to.equal(200);
    await boss.api.delete(`/api/v2/projects/${project.id}/members/${member.id}`);
    const ping = await member.api.post<Delivery>(`${path}/${made.id}/ping`);
    expect((await member.api.get<Delivery[]>(list)).body.map(({ id }) => id)).to.deep.equal([ping.body.id]);
    await member.api.refused('not_found', 'GET', one);
    await member.api.refused('not_found', 'POST', `${one}/replay`);
    expect((await server.admin.get(one)).status).to.equal(200);
    await boss.api.post(`/api/v2/projects/${project.id}/members`, { userId: member.id, role: 'reader' });
    expect((await member.api.get(one)).status).to.equal(200);
    await member.api.delete(`${path}/${made.id}`);
  });

  it('of a deleted project are told nothing more, and are left to superusers', async () => {
    const short = await addProject(server.app, { name: 'short', admins: [boss] });
    const made = await subscribe(boss.api, { ownerType: 'project', owner: short.id });
    expect((await server.admin.delete(`/api/v2/projects/${short.id}`)).status).to.equal(204);
    const one = `${path}/${made.id}`;
    await boss.api.refused('not_found', 'GET', one);
    await boss.api.refused('not_found', 'POST', `${one}/ping`);
    await boss.api.refused('not_found', 'GET', `${path}?ownerType=project&owner=${short.id}`);
    const subscriber = { type: 'webhook', url: receiver.url };
    await boss.api.refused('not_found', 'POST', path, { body: { id: made.id, subscriber } });
    await boss.api.refused('not_found', 'POST', path, {
      body: { ownerType: 'project', owner: short.id, subscriber },
    });
    expect((await shown(made.id, server.admin)).owner).to.equal(short.id);
    expect((await server.admin.delete(one)).status).to.equal(204);
    expect(receiver.received).to.deep.equal([]);
  });

  it('whose task is cancelled keep what waits, and send it later', async () => {
    const made = await subscribe(member.api);
    await switched(false);
    const ping = await member.api.post<Delivery>(`${path}/${made.id}/ping`);
    const queue = (await server.admin.get<QueueStatus>('/api/v2/status/queue')).body;
    const site = queue.regions.find(({ name }) => name === 'site');
    expect(site?.types).to.have.length(1);
    expect(site?.types[0]).to.include({ type: 'webhook.deliver', depth: 1 });
    expect(queue.depth).to.be.above(0);

    const cleared = await server.admin.delete('/api/v2/admin/task_queue?type=webhook.deliver');
    expect(cleared.status, cleared.text).to.equal(200);
    expect(cleared.body).to.deep.include({ cancelled: 1 });
    const { store } = server.app;
    const cancelled = await store.get(webhooks, made.id);
    expect(cancelled?.value.openTasks).to.deep.equal([]);
    expect(cancelled?.value.due).to.be.above(Date.now());
    const { body } = await member.api.get<Delivery>(`${path}/${made.id}/deliveries/${ping.body.id}`);
    expect(body.status).to.equal('pending');

    await switched(true);
    // The minute until the next task is over.
    await retrying(async () => {
      const found = await store.get(webhooks, made.id);
      if (found === undefined) throw new Error('the webhook is gone');
      await store.write([replace(webhooks, found, { ...found.value, due: Date.now() })]);
    });
    await eventually(() => receiver.ids().includes(ping.body.id), { within: 15_000, what: 'the ping' });
    await member.api.delete(`${path}/${made.id}`);
  }).timeout(40_000);
});
