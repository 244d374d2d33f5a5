/** How much of the queue one call clears. */
import { expect } from 'chai';
import { AdminData } from '../../src/data/admin.js';
import type { Caller } from '../../src/data/caller.js';
import type { Store } from '../../src/data/store/port.js';
import { TaskControl } from '../../src/data/task-control.js';
import { tasks } from '../../src/data/task.js';
import { seedTask } from '../support/rows.js';
import { openTestStore } from '../support/store.js';

const caller: Caller = {
  principal: { id: '0193a5c0-0000-7000-8000-000000000001', name: 'admin', superUser: true },
  requestId: 'r',
  signal: new AbortController().signal,
};

describe('a queue that is cleared', () => {
  let store: Store;

  beforeEach(async () => {
    store = await openTestStore();
  });
  afterEach(() => store.close());

  const admin = (limits: { tasks?: number; time?: number } = {}) =>
    new AdminData(store, new TaskControl(store), { tasks: 100, time: 60_000, ...limits });
  const left = () => store.count(tasks, { filter: { queue: ['ready', 'waiting', 'inactive'] } });

  it('by one call is so up to a limit, and the answer says that there is more; the last call does not', async () => {
    for (let index = 0; index < 12; index += 1)
      await seedTask(store, { queue: (['ready', 'waiting', 'inactive'] as const)[index % 3] ?? 'ready' });
    const limited = admin({ tasks: 5 });
    expect(await limited.clearQueue(caller, {})).to.deep.equal({ cancelled: 5, aborting: 0, more: true });
    expect(await left()).to.equal(7);
    expect(await limited.clearQueue(caller, {})).to.deep.equal({ cancelled: 5, aborting: 0, more: true });
    expect(await limited.clearQueue(caller, {})).to.deep.equal({ cancelled: 2, aborting: 0 });
    expect(await limited.clearQueue(caller, {})).to.deep.equal({ cancelled: 0, aborting: 0 });
  });

  it('by one call of exactly the limit has no more', async () => {
    for (let index = 0; index < 5; index += 1) await seedTask(store);
    expect(await admin({ tasks: 5 }).clearQueue(caller, {})).to.deep.equal({ cancelled: 5, aborting: 0 });
  });

  it('is no further looked at when the time is over', async () => {
    await seedTask(store);
    expect(await admin({ time: -1 }).clearQueue(caller, {})).to.deep.equal({
      cancelled: 0,
      aborting: 0,
      more: true,
    });
  });

  it('goes past tasks that have been asked to end already', async () => {
    const attempts = [{ number: 1, startTime: new Date().toISOString() }];
    for (let index = 0; index < 3; index += 1) await seedTask(store, { queue: 'waiting', attempts });
    await seedTask(store);
    const limited = admin({ tasks: 3 });
    expect(await limited.clearQueue(caller, {})).to.deep.equal({ cancelled: 0, aborting: 3, more: true });
    expect(await limited.clearQueue(caller, {})).to.deep.equal({ cancelled: 1, aborting: 0 });
  });
});
