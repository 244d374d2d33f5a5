/** The sweeps over instances that expire, one at a time: what they find, and what they leave alone. */
import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import type { Caller } from '../../src/data/caller.js';
import { ExpiryData } from '../../src/data/expiry.js';
import { instances } from '../../src/data/instance.js';
import { TaskQueue } from '../../src/data/queue.js';
import { insert, type Store } from '../../src/data/store/port.js';
import type { Instance, InstanceRecord } from '../../src/model/instance.js';
import { silentLog } from '../../src/model/log.js';
import { housekeeping } from '../../src/task/housekeeper.js';
import { instanceRecord } from '../support/rows.js';
import { startServer, type TestServer } from '../support/server.js';

const hour = 3_600_000;
const at = (ms: number) => new Date(Date.now() + ms).toISOString();
const options = { maxLifetime: 48 * hour, warning: hour };

const caller: Caller = {
  principal: { id: '00000000-0000-0000-0000-000000000000', name: 'schedule', superUser: true },
  requestId: 'schedule-expiry',
  signal: new AbortController().signal,
};

describe('a sweep over instances that expire', () => {
  let server: TestServer;

  beforeEach(async () => {
    // The server's own sweep is over before anything expires, and comes again in an hour.
    server = await startServer({ flags: { tasks: { sweep: 3600 } } });
  });
  afterEach(() => server.stop());

  const seed = async (
    count: number,
    change: (index: number) => Partial<InstanceRecord>,
  ): Promise<string[]> => {
    const { organizationId, projectId, regionId, networkId } = server.catalog;
    const ids = Array.from({ length: count }, () => uuidv7());
    const base = { organizationId, projectId, regionId, networkId };
    await server.app.store.write(
      ids.map((id, index) =>
        insert(instances, id, instanceRecord({ ...base, name: `i-${id.slice(-12)}`, ...change(index) })),
      ),
    );
    return ids;
  };
  const stored = async (id: string) => (await server.app.store.get(instances, id))?.value;
  const overdue = { expiresAt: at(-hour), expirationWarning: at(-2 * hour) };

  it('warns all of more than one page, also those that expire at the same moment, once', async () => {
    const [together, soon] = [at(hour / 2), at(hour / 3)];
    const near = await seed(230, (index) => ({ expiresAt: index < 150 ? together : soon }));
    const far = await seed(3, () => ({ expiresAt: at(2 * hour) }));
    const { expiry } = server.app.connector;
    const data = new ExpiryData(server.app.store, server.app.connector.instances, options);
    expect(await data.warn(caller, Date.now())).to.equal(230);
    expect(await data.warn(caller, Date.now())).to.equal(0);
    for (const id of near) expect(await stored(id)).to.have.property('expirationWarning');
    for (const id of far) expect(await stored(id)).not.to.have.property('expirationWarning');
    expect(await expiry.deleteExpired(caller, Date.now())).to.equal(0);
  });

  it('deletes all of more than one page', async () => {
    const ids = await seed(130, () => overdue);
    expect(await server.app.connector.expiry.deleteExpired(caller, Date.now())).to.equal(130);
    for (const id of ids)
      expect((await stored(id)) ?? { deletionTime: 'gone' }).to.have.property('deletionTime');
  });

  it('lets an instance live that was extended after the sweep had seen it, and deletes the others', async () => {
    const [kept = '', ...others] = await seed(3, () => overdue);
    let extended = false;
    const extending = new Proxy<Store>(server.app.store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]) => {
          const result: unknown = await (member as (...all: unknown[]) => unknown).apply(target, args);
          if (name !== 'page' || args[0] !== instances || extended) return result;
          extended = true;
          const path = `/api/v2/instances/${kept}/extend_expiration`;
          const reply = await server.admin.post<Instance>(path, { expiresAt: at(hour) });
          expect(reply.status, reply.text).to.equal(200);
          return result;
        };
      },
    });
    const data = new ExpiryData(extending, server.app.connector.instances, options);
    expect(await data.deleteExpired(caller, Date.now())).to.equal(2);
    expect(extended).to.be.true;
    expect(await stored(kept)).not.to.have.any.keys('deletionTime', 'expirationWarning');
    for (const id of others)
      expect((await stored(id)) ?? { deletionTime: 'gone' }).to.have.property('deletionTime');
  });

  it('never warns an instance and deletes it at once, however long its time has been over', async () => {
    const [id = ''] = await seed(1, () => ({ expiresAt: at(-24 * hour) }));
    const { connector, store } = server.app;
    const { events, expiry, idempotency, labels, sessions } = connector;
    const queue = new TaskQueue(store, { owner: 'me', lease: 1000 });
    const parts = {
      events,
      expiry,
      idempotency,
      labels,
      queue,
      sessions,
      sweepHooks: () => Promise.resolve(),
      purgeDeliveries: () => Promise.resolve(0),
      tidyStore: () => Promise.resolve(),
    };
    const jobs = housekeeping(
      parts,
      { sweep: hour, keep: hour, keepEvents: hour, keepDeliveries: hour },
      silentLog,
    );
    const sweep = () => jobs.find(({ name }) => name === 'expiry')?.run(caller.signal);
    await sweep();
    const warned = await stored(id);
    expect(warned).to.have.property('expirationWarning');
    expect(warned).not.to.have.property('deletionTime');
    await sweep();
    expect((await stored(id)) ?? { deletionTime: 'gone' }).to.have.property('deletionTime');
  });

  it('warns nobody of what its user has deleted already', async () => {
    const [id = ''] = await seed(1, () => ({ expiresAt: at(hour / 2), deletionTime: at(-1000) }));
    expect(await server.app.connector.expiry.warn(caller, Date.now())).to.equal(0);
    expect(await stored(id)).not.to.have.property('expirationWarning');
  });
});
