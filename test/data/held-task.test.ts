import { expect } from 'chai';
import { instances } from '../../src/data/instance.js';
import { type HeldTask, LeaseLost } from '../../src/data/held-task.js';
import { TaskQueue } from '../../src/data/queue.js';
import type { Document, Store } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import { timestamp } from '../../src/model/common.js';
import type { TaskCause, TaskRecord } from '../../src/model/task.js';
import { failureOf } from '../support/eventually.js';
import { faulty } from '../support/outage.js';
import { regionId, seedTask } from '../support/rows.js';
import { openTestStore } from '../support/store.js';

const cause: TaskCause = { code: 'unavailable', message: 'Not now.', retryable: true };
const step = { name: 's', attempt: 1, startTime: timestamp() };
const minute = 60_000;

describe('a claimed task', () => {
  let store: Store;
  let queue: TaskQueue;

  const load = async (id: string): Promise<Document<TaskRecord>> => {
    const task = await store.get(tasks, id);
    if (task === undefined) throw new Error(`task ${id} is not there`);
    return task;
  };
  const claimed = async (from = queue) => {
    const claim = await from.claim(regionId);
    if (claim === undefined) throw new Error('there is nothing to claim');
    return claim;
  };

  /** The take-over of a process that has watched for longer than a lease. */
  const takeOver = async (by: TaskQueue) => {
    await by.takeOver(0, () => false);
    return by.takeOver(minute, () => false);
  };

  beforeEach(async () => {
    store = await openTestStore();
    queue = new TaskQueue(store, { owner: 'me', lease: minute });
  });
  afterEach(() => store.close());

  describe('a worker whose lease was taken over', () => {
    const writes: [string, (claim: HeldTask) => Promise<unknown>][] = [
      ['renew its lease', (claim) => claim.renew()],
      ['record a step', (claim) => claim.step({ name: 's', attempt: 1, startTime: timestamp() })],
      ['change the instance', (claim) => claim.step(step, (one) => ({ ...one, description: 'stale' }))],
      [
        'finish the task',
        (claim) => claim.finish({ status: 'succeeded' }, (one) => ({ ...one, description: 'stale' })),
      ],
      ['remove the instance', (claim) => claim.finish({ status: 'succeeded' }, () => undefined)],
      ['ask for a retry', (claim) => claim.retryLater(cause, Date.now())],
      ['give the task back', (claim) => claim.giveBack()],
    ];
    for (const [what, write] of writes) {
      it(`cannot ${what}`, async () => {
        const { taskId, instanceId } = await seedTask(store);
        const stale = await claimed();
        await takeOver(queue);
        await claimed(new TaskQueue(store, { owner: 'you', lease: minute }));
        const before = [await load(taskId), await store.get(instances, instanceId)];
        expect(await failureOf(write(stale))).to.be.an.instanceOf(LeaseLost);
        expect([await load(taskId), await store.get(instances, instanceId)]).to.deep.equal(before);
      });
    }

    it('cannot write after the task has ended either', async () => {
      const { instanceId } = await seedTask(store);
      const claim = await claimed();
      await claim.finish({ status: 'succeeded' }, (instance) => instance);
      const before = await store.get(instances, instanceId);
      for (const [, write] of writes) expect(await failureOf(write(claim))).to.be.an.instanceOf(LeaseLost);
      expect(await store.get(instances, instanceId)).to.deep.equal(before);
    });

    it('cannot change the instance when the lease goes between its look at the task and its write', async () => {
      const { instanceId } = await seedTask(store);
      const thief = new TaskQueue(store, { owner: 'you', lease: minute });
      let stolen = false;
      // The very store, except that the lease is taken over while the instance is being read.
      const slow = new Proxy(store, {
        get: (target, name) => {
          const member: unknown = Reflect.get(target, name, target);
          if (typeof member !== 'function') return member;
          return async (...args: unknown[]) => {
            if (name === 'get' && args[0] === instances && !stolen) {
              stolen = true;
              await takeOver(thief);
              await claimed(thief);
            }
            return (member as (...all: unknown[]) => unknown).apply(target, args);
          };
        },
      });
      const claim = await claimed(new TaskQueue(slow, { owner: 'me', lease: minute }));
      const failure = await failureOf(claim.step(step, (one) => ({ ...one, description: 'stale' })));
      expect(failure).to.be.an.instanceOf(LeaseLost);
      expect((await store.get(instances, instanceId))?.value.description).to.be.undefined;
    });
  });

  describe('a worker whose write was stored but reported as failed', () => {
    const ends: [string, (claim: HeldTask) => Promise<void>, Partial<TaskRecord>][] = [
      ['ended the task', (claim) => claim.finish({ status: 'succeeded' }, (one) => one), { queue: 'done' }],
      ['asked for a retry', (claim) => claim.retryLater(cause, Date.now() + minute), { queue: 'waiting' }],
      ['gave the task back', (claim) => claim.giveBack(), { queue: 'ready' }],
    ];
    for (const [what, end, after] of ends) {
      it(`that ${what} learns so from a repeat`, async () => {
        const { taskId } = await seedTask(store);
        const flaky = faulty(store);
        const claim = await claimed(new TaskQueue(flaky.store, { owner: 'me', lease: minute }));
        flaky.fault = 'late';
        expect(await failureOf(end(claim))).to.include({ code: 'store_unavailable' });
        flaky.fault = 'none';
        const stored = await load(taskId);
        expect(stored.value).to.include(after);
        await end(claim);
        expect(await load(taskId)).to.deep.equal(stored);
      });
    }

    it('learns that another one has the task, if its own attempt was taken over', async () => {
      const { taskId } = await seedTask(store);
      const flaky = faulty(store);
      const claim = await claimed(new TaskQueue(flaky.store, { owner: 'me', lease: minute }));
      flaky.fault = 'away';
      await failureOf(claim.retryLater(cause, 0));
      flaky.fault = 'none';
      await takeOver(queue);
      const before = await load(taskId);
      expect(await failureOf(claim.retryLater(cause, 0))).to.be.an.instanceOf(LeaseLost);
      expect(await load(taskId)).to.deep.equal(before);
    });
  });
});
