import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import { instances } from '../../src/data/instance.js';
import { TaskQueue } from '../../src/data/queue.js';
import { type Document, insert, replace, type Store } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import { timestamp } from '../../src/model/common.js';
import type { TaskCause, TaskRecord } from '../../src/model/task.js';
import { instanceRecord, regionId, seedTask, taskRecord } from '../support/rows.js';
import { openTestStore } from '../support/store.js';

const cause: TaskCause = { code: 'unavailable', message: 'Not now.', retryable: true };
const step = { name: 's', attempt: 1, startTime: timestamp() };
const minute = 60_000;

describe('the task queue', () => {
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

  beforeEach(async () => {
    store = await openTestStore();
    queue = new TaskQueue(store, { owner: 'me', lease: minute });
  });
  afterEach(() => store.close());

  describe('claim', () => {
    it('takes the highest priority first, and the oldest of equal ones', async () => {
      const ids: string[] = [];
      for (const priority of [0, 5, 0, 100, 5, -3]) ids.push((await seedTask(store, { priority })).taskId);
      const order: number[] = [];
      for (
        let claim = await queue.claim(regionId);
        claim !== undefined;
        claim = await queue.claim(regionId)
      ) {
        order.push(ids.indexOf(claim.id));
      }
      expect(order).to.deep.equal([3, 1, 4, 0, 2, 5]);
    });

    it('takes ready tasks of its region only', async () => {
      for (const state of ['waiting', 'blocked', 'running', 'done'] as const)
        await seedTask(store, { queue: state });
      await seedTask(store, { regionId: uuidv7() });
      expect(await queue.claim(regionId)).to.be.undefined;
    });

    it('makes the task its process’s: owner, lease, a new token and an open attempt', async () => {
      const before = { number: 4, startTime: timestamp(), endTime: timestamp(), outcome: 'failed' as const };
      const { taskId } = await seedTask(store, { token: 7, attempts: [before] });
      const now = Date.now();
      const { value } = await claimed();
      expect(value).to.include({ status: 'running', queue: 'running', owner: 'me', token: 8 });
      expect(value.leaseUntil).to.be.within(now + minute, Date.now() + minute);
      expect(value.attempts[1]).to.deep.equal({ number: 5, startTime: value.startTime });
      expect((await load(taskId)).value).to.deep.equal(value);
    });

    it('gives each task to one of many who ask at once', async () => {
      for (let index = 0; index < 50; index += 1) await seedTask(store);
      const others = Array.from(
        { length: 10 },
        (_, index) => new TaskQueue(store, { owner: `o${index}`, lease: minute }),
      );
      const claims = await Promise.all(
        Array.from({ length: 60 }, (_, index) => (others[index % 10] ?? queue).claim(regionId)),
      );
      const ids = claims.flatMap((claim) => (claim === undefined ? [] : [claim.id]));
      expect(ids).to.have.length(50);
      expect(new Set(ids).size).to.equal(50);
    });
  });

  describe('the end of a task', () => {
    it('changes the instance, closes the attempt and lets go of the lease, in one step', async () => {
      const { taskId, instanceId } = await seedTask(store);
      await (
        await claimed()
      ).finish({ status: 'succeeded' }, (instance) => ({
        ...instance,
        powerState: 'Stopped',
      }));
      const { value } = await load(taskId);
      expect(value)
        .to.include({ status: 'succeeded', queue: 'done' })
        .and.not.to.have.any.keys('owner', 'leaseUntil', 'cause');
      expect(value.attempts).to.have.length(1);
      expect(value.attempts[0]).to.include({ number: 1, outcome: 'succeeded', endTime: value.endTime });
      const instance = await store.get(instances, instanceId);
      expect(instance?.value).to.deep.include({ powerState: 'Stopped', openTasks: [] });
    });

    it('keeps why it failed, on the task and on its attempt', async () => {
      const { taskId } = await seedTask(store);
      await (await claimed()).finish({ status: 'failed', cause }, (instance) => instance);
      const { value } = await load(taskId);
      expect(value.cause).to.deep.equal(cause);
      expect(value.attempts[0]).to.deep.include({ outcome: 'failed', cause });
    });

    it('lets the next task of the instance go, one at a time and in their order', async () => {
      const instanceId = uuidv7();
      const ids = [uuidv7(), uuidv7(), uuidv7()];
      await store.write([
        insert(instances, instanceId, instanceRecord({ openTasks: ids })),
        // The later ones are more urgent, which must not help them.
        ...ids.map((id, index) =>
          insert(
            tasks,
            id,
            taskRecord(instanceId, { queue: index === 0 ? 'ready' : 'blocked', priority: index * 10 }),
          ),
        ),
      ]);
      const order: string[] = [];
      for (
        let claim = await queue.claim(regionId);
        claim !== undefined;
        claim = await queue.claim(regionId)
      ) {
        order.push(claim.id);
        expect(await queue.claim(regionId)).to.be.undefined;
        await claim.finish(
          { status: order.length === 2 ? 'failed' : 'succeeded', cause },
          (instance) => instance,
        );
      }
      expect(order).to.deep.equal(ids);
      expect((await store.get(instances, instanceId))?.value.openTasks).to.deep.equal([]);
    });

    it('can remove the instance, and copes with one that is gone', async () => {
      const { instanceId } = await seedTask(store);
      await (await claimed()).finish({ status: 'succeeded' }, () => undefined);
      expect(await store.get(instances, instanceId)).to.be.undefined;
      const orphan = uuidv7();
      await store.write([insert(tasks, orphan, taskRecord(uuidv7()))]);
      await (await claimed()).finish({ status: 'succeeded' }, (instance) => instance);
      expect((await load(orphan)).value.status).to.equal('succeeded');
    });
  });

  describe('an attempt', () => {
    it('that is to be tried again waits for its time, and is ready then', async () => {
      const { taskId } = await seedTask(store);
      const later = Date.now() + minute;
      await (await claimed()).retryLater(cause, later);
      expect((await load(taskId)).value)
        .to.include({ status: 'pending', queue: 'waiting', runAfter: later })
        .and.not.to.have.property('owner');
      expect((await load(taskId)).value.attempts[0]).to.deep.include({ outcome: 'failed', cause });
      expect(await queue.promoteDue(later - 1)).to.equal(later);
      expect(await queue.claim(regionId)).to.be.undefined;
      expect(await queue.promoteDue(later)).to.be.undefined;
      expect((await claimed()).value.attempts.map((attempt) => attempt.number)).to.deep.equal([1, 2]);
    });

    it('among many that wait becomes ready exactly when it is due', async () => {
      for (let index = 0; index < 250; index += 1)
        await seedTask(store, { queue: 'waiting', runAfter: 1000 + index });
      expect(await queue.promoteDue(1199)).to.equal(1200);
      expect(await store.count(tasks, { filter: { queue: 'ready' } })).to.equal(200);
    });

    it('that is given back is ready at once, and does not count as interrupted', async () => {
      const { taskId } = await seedTask(store);
      await (await claimed()).giveBack();
      const { value } = await load(taskId);
      expect(value)
        .to.include({ status: 'pending', queue: 'ready' })
        .and.not.to.have.any.keys('owner', 'leaseUntil');
      expect(value.attempts[0]?.outcome).to.equal('handed_over');
      expect(value.attempts[0]?.cause).to.include({ code: 'handed_over', retryable: true });
    });

    it('records its steps: begun, then ended, the newest 50', async () => {
      const { taskId } = await seedTask(store);
      const claim = await claimed();
      for (let attempt = 1; attempt <= 60; attempt += 1) {
        await claim.step({ name: 'step', attempt, startTime: timestamp() });
        await claim.step({
          name: 'step',
          attempt,
          startTime: timestamp(),
          endTime: timestamp(),
          outcome: 'failed',
        });
      }
      const { steps } = (await load(taskId)).value;
      expect(steps.map((step) => step.attempt)).to.deep.equal(
        Array.from({ length: 50 }, (_, index) => index + 11),
      );
      expect(steps.every((step) => step.outcome === 'failed')).to.be.true;
    });

    it('learns with its heartbeat that it is to end, and prolongs its lease', async () => {
      const { taskId } = await seedTask(store);
      const claim = await claimed();
      const before = claim.value.leaseUntil ?? 0;
      await claim.renew();
      expect(claim.abortAsked).to.be.false;
      const task = await load(taskId);
      expect(task.value.leaseUntil).to.be.at.least(before);
      await store.write([replace(tasks, task, { ...task.value, abort: true })]);
      await claim.renew();
      expect(claim.abortAsked).to.be.true;
      expect(await claim.abort()).to.deep.equal({});
    });
  });

  describe('the take-over', () => {
    const running = {
      queue: 'running' as const,
      status: 'running' as const,
      attempts: [{ number: 1, startTime: timestamp() }],
    };

    it('frees tasks of dead owners at once, and leaves the others', async () => {
      const dead = await seedTask(store, { ...running, owner: 'dead', leaseUntil: Date.now() + minute });
      const alive = await seedTask(store, { ...running, owner: 'alive', leaseUntil: Date.now() + minute });
      expect(await queue.takeOver(0, (owner) => owner === 'dead')).to.equal(1);
      const { value } = await load(dead.taskId);
      expect(value).to.include({ queue: 'ready', status: 'pending' });
      expect(value.attempts[0]).to.include({ outcome: 'interrupted' });
      expect(value.attempts[0]?.cause).to.include({ code: 'interrupted', retryable: true });
      expect((await load(alive.taskId)).value).to.include({ queue: 'running', owner: 'alive' });
    });

    it('frees tasks whose owner sent no heartbeat for a lease, whatever its clock says', async () => {
      // One clock is an hour behind, the other an hour ahead.
      const behind = await seedTask(store, { ...running, owner: 'a', leaseUntil: Date.now() - 60 * minute });
      const ahead = await seedTask(store, { ...running, owner: 'b', leaseUntil: Date.now() + 60 * minute });
      expect(await queue.takeOver(5, () => false)).to.equal(0);
      expect(await queue.takeOver(minute + 4, () => false)).to.equal(0);
      const sign = await load(ahead.taskId);
      await store.write([replace(tasks, sign, { ...sign.value, leaseUntil: Date.now() + 61 * minute })]);
      expect(await queue.takeOver(minute + 5, () => false)).to.equal(1);
      expect((await load(behind.taskId)).value).to.include({ queue: 'ready' });
      expect(await queue.takeOver(2 * minute + 4, () => false)).to.equal(0);
      expect(await queue.takeOver(2 * minute + 5, () => false)).to.equal(1);
      expect((await load(ahead.taskId)).value).to.include({ queue: 'ready' });
    });

    it('has a task that was cut short again and again pause, so that it does not always fall with the same others', async () => {
      const careful = new TaskQueue(store, { owner: 'me', lease: minute, cooldownMs: 4000 });
      const cut = (times: number) =>
        seedTask(store, {
          ...running,
          owner: 'dead',
          leaseUntil: Date.now(),
          attempts: Array.from({ length: times }, (_, index) => ({
            number: index + 1,
            startTime: timestamp(),
            ...(index + 1 < times ? { endTime: timestamp(), outcome: 'interrupted' as const } : {}),
          })),
        });
      const [second, third, ninth] = [await cut(2), await cut(3), await cut(9)];
      const now = Date.now();
      expect(await careful.takeOver(0, () => true)).to.equal(3);
      expect((await load(second.taskId)).value).to.include({ queue: 'ready' });
      for (const [{ taskId }, pause] of [
        [third, 1000],
        [ninth, 4000],
      ] as const) {
        const { queue: place, runAfter = 0 } = (await load(taskId)).value;
        expect(place).to.equal('waiting');
        expect(runAfter - now).to.be.within(pause / 2, pause + 1000);
      }
    });

    it('looks at all running tasks, however many there are', async () => {
      const now = Date.now();
      for (let index = 0; index < 260; index += 1) {
        await seedTask(store, {
          queue: 'running',
          owner: index % 2 === 0 ? 'dead' : 'alive',
          leaseUntil: now + minute + (index % 7),
        });
      }
      expect(await queue.takeOver(now, (owner) => owner === 'dead')).to.equal(130);
      expect(await queue.takeOver(now, (owner) => owner === 'dead')).to.equal(0);
    });

    it('tells watchers of tasks that can be claimed or are to end, and of nothing else', async () => {
      const seen: string[] = [];
      const stop = queue.watch((id) => seen.push(id));
      const { taskId } = await seedTask(store);
      expect(seen).to.deep.equal([taskId]);
      // The work on the task itself is no news, until somebody asks it to end.
      const claim = await claimed();
      await claim.step(step);
      await claim.renew();
      expect(seen).to.have.length(1);
      const task = await load(taskId);
      await store.write([replace(tasks, task, { ...task.value, abort: true })]);
      expect(seen).to.deep.equal([taskId, taskId]);
      stop();
      await seedTask(store);
      expect(seen).to.have.length(2);
    });
  });
});
