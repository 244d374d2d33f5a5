/** Two processes on one store, both of which may dispatch and send: each event becomes one delivery of each subscription. */
import { join } from 'node:path';
import { expect } from 'chai';
import type { WrittenSubscription } from '../../src/model/subscription.js';
import type { Delivery } from '../../src/model/webhook.js';
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

describe('webhooks of two servers on one store', function () {
  this.timeout(120_000);
  let folder: string;
  let receiver: Receiver;
  let servers: ServerProcess[] = [];

  before(async () => {
    folder = temporaryFolder();
    receiver = await Receiver.start();
    const { address } = await testAddress(`sqlite:${join(folder, 'site.sqlite')}`);
    const options = environmentOf({ webhooks: { allowHttp: true, timeout: 5 }, simulated: { delay: 5 } });
    const environment = { ...options, COPSE_STORE: address, COPSE_WEBHOOKS_ALLOW_ADDRESSES: '127.0.0.0/8' };
    const start = () => startServer({ dataDir: folder, args: ['--region', 'simulated'], environment });
    servers = [await start(), await start()];
  });
  after(async () => {
    for (const server of servers) await server.kill('SIGTERM');
    await receiver.stop();
    await cleanUp(folder);
  });

  it('tell each event once to each of two subscriptions, whichever process dispatches', async () => {
    const [first, second] = servers;
    if (first === undefined || second === undefined) throw new Error('two servers are needed');
    const subscribe = async ({ client }: ServerProcess, path: string) => {
      const { body } = await client.post<WrittenSubscription>('/api/v2/subscriptions', {
        subscriber: { type: 'webhook', url: `${receiver.url}/${path}` },
        selectors: [{ type: 'type', data: 'instance.created' }],
      });
      return body.id;
    };
    const ids = [await subscribe(first, 'a'), await subscribe(second, 'b')];
    const offer = await offerOf(first.client, 'sim-linux');
    const created: string[] = [];
    const make = async (server: ServerProcess, prefix: string) => {
      for (let count = 0; count < 10; count += 1)
        created.push((await createInstance(server.client, `${prefix}-${count}`, offer)).metadata.id);
    };
    await Promise.all([make(first, 'one'), make(second, 'two')]);
    // The one that has dispatched so far may be either; the other one goes on.
    const told = (path: string) => receiver.received.filter((one) => one.path.endsWith(path));
    await until('half of it', 30, () => (told('/a').length >= 10 ? true : undefined));
    await first.kill('SIGTERM');
    await make(second, 'three');
    await until('every create to be told twice', 60, () =>
      [told('/a'), told('/b')].every((all) => all.length >= created.length) ? true : undefined,
    );
    for (const [index, path] of ['/a', '/b'].entries()) {
      const { body } = await second.client.get<Delivery[]>(
        `/api/v2/subscriptions/${ids[index] ?? ''}/deliveries?limit=100`,
      );
      expect(body.map(({ resourceId }) => resourceId).sort(), path).to.deep.equal([...created].sort());
      expect(new Set(body.map(({ eventId }) => eventId)).size).to.equal(created.length);
      const byId = new Map(
        told(path).map(({ headers, event }) => [
          String(headers['webhook-id']),
          String(event.data['resourceId']),
        ]),
      );
      expect([...byId.values()].sort(), path).to.deep.equal([...created].sort());
    }
  });
});
