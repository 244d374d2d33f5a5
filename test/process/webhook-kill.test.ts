/** kill -9 while events are told: each is delivered, and a repeat is recognizable by its webhook-id. */
import { join } from 'node:path';
import { expect } from 'chai';
import type { Event } from '../../src/model/event.js';
import type { WrittenSubscription } from '../../src/model/subscription.js';
import {
  cleanUp,
  createInstance,
  environmentOf,
  offerOf,
  type ServerProcess,
  startServer,
  temporaryFolder,
  until,
} from '../support/process.js';
import { Receiver } from '../support/receiver.js';
import { testAddress } from '../support/store.js';

describe('webhooks of a server that is killed', function () {
  this.timeout(120_000);
  const rounds = 3;
  let folder: string;
  let receiver: Receiver;
  let server: ServerProcess;
  let environment: Record<string, string>;
  const start = () => startServer({ dataDir: folder, args: ['--region', 'simulated'], environment });

  before(async () => {
    folder = temporaryFolder();
    receiver = await Receiver.start();
    const { address } = await testAddress(`sqlite:${join(folder, 'site.sqlite')}`);
    const options = environmentOf({ webhooks: { allowHttp: true, timeout: 5 }, simulated: { delay: 5 } });
    environment = { ...options, COPSE_STORE: address, COPSE_WEBHOOKS_ALLOW_ADDRESSES: '127.0.0.0/8' };
    server = await start();
  });
  after(async () => {
    await server.kill('SIGKILL');
    await receiver.stop();
    await cleanUp(folder);
  });

  it('tell every create, once under each id', async () => {
    const subscriber = { type: 'webhook', url: receiver.url };
    const selectors = [{ type: 'type', data: 'instance.created' }];
    const made = await server.client.post<WrittenSubscription>('/api/v2/subscriptions', {
      subscriber,
      selectors,
    });
    const created: string[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const offer = await offerOf(server.client, 'sim-linux');
      for (let count = 0; count < 5; count += 1)
        created.push((await createInstance(server.client, `r${round}-${count}`, offer)).metadata.id);
      // Some of it is told by now, some is not.
      const told = receiver.received.length;
      if (round > 0) await until('a first delivery', 30, () => receiver.received.length > told || undefined);
      await server.kill('SIGKILL');
      server = await start();
    }
    const secret = made.body.subscriber.secret ?? '';
    const toldOf = () => receiver.verified(secret, 'instance.created');
    const idOf = ({ event }: { event: { data: Record<string, unknown> } }) =>
      String(event.data['resourceId']);
    await until('every create to be told', 60, () => {
      const told = new Set(toldOf().map(idOf));
      return created.every((id) => told.has(id)) ? true : undefined;
    });
    const byWebhookId = new Map(toldOf().map((one) => [String(one.headers['webhook-id']), idOf(one)]));
    expect([...byWebhookId.values()].sort()).to.deep.equal([...created].sort());
    const events = await server.client.get<Event[]>('/api/v2/events?limit=1000');
    expect(events.body.filter(({ type }) => type === 'instance.created')).to.have.length(created.length);
  });
});
