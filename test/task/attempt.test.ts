import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import { instances } from '../../src/data/instance.js';
import { LeaseLost, TaskQueue } from '../../src/data/queue.js';
import { type Document, insert, type Store } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import type { TaskRecord } from '../../src/model/task.js';
import { passingTracer } from '../../src/model/trace.js';
import { SimulatedRegion } from '../../src/region/simulated/index.js';
import { Attempt } from '../../src/task/attempt.js';
import { eventually, failureOf } from '../support/eventually.js';
import { RecordingLog } from '../support/log.js';
import { instanceRecord, regionId, taskRecord } from '../support/rows.js';
import { openTestStore } from '../support/store.js';
import { patient, principal, scratchFolder } from '../support/region.js';

const lease = 200;
const options = {
  lease,
  maxAttempts: 3,
  maxInterruptions: 10,
  backoff: 1,
  backoffMax: 60_000,
  tracer: passingTracer,
};

describe('an attempt at a task', () => {
  let folder: string;
  let store: Store;
  let region: SimulatedRegion;
  let log: RecordingLog;

  const attemptAt = (claim: Document<TaskRecord>, by: TaskQueue) =>
    new Attempt(by, claim, region, options, log);
  const seed = async (change: Partial<TaskRecord> = {}) => {
    const [flavor] = await region.listFlavors(principal, patient());
    const images = await region.listImages(principal, patient());
    const image = images.find(({ metadata }) => metadata.name === 'sim-linux');
    const [instanceId, taskId] = [uuidv7(), uuidv7()];
    const record = instanceRecord({
      flavorId: flavor?.metadata.id ?? '',
      imageId: image?.metadata.id ?? '',
      openTasks: [taskId],
    });
    await store.write([
      insert(instances, instanceId, record),
      insert(tasks, taskId, taskRecord(instanceId, { type: 'instance.create', ...change })),
    ]);
    return { instanceId, taskId };
  };
  const claimed = async (queue: TaskQueue) => {
    const claim = await queue.claim(regionId);
    if (claim === undefined) throw new Error('there is nothing to claim');
    return claim;
  };
  const queueOn = (on: Store) => new TaskQueue(on, { owner: 'me', lease });

  beforeEach(async () => {
    folder = scratchFolder('attempt');
    log = new RecordingLog();
    store = await openTestStore();
    const file = join(folder, 'cloud.sqlite');
    region = new SimulatedRegion({ regionId, file, delay: 0, failureRate: 0, seed: 1, log });
    await region.open();
  });
  afterEach(async () => {
    await region.close();
    await store.close();
    rmSync(folder, { recursive: true });
  });

  it('keeps its lease while it works, for longer than one lease', async () => {
    region.program({ verb: 'ensureServer', delay: 3 * lease, times: 1 });
    const { taskId } = await seed();
    const queue = queueOn(store);
    const run = attemptAt(await claimed(queue), queue).run();
    const watcher = new TaskQueue(store, { owner: 'you', lease });
    let taken = 0;
    const watch = setInterval(() => {
      void watcher.takeOver(performance.now(), () => false).then((count) => (taken += count));
    }, 10);
    await run;
    clearInterval(watch);
    expect(taken).to.equal(0);
    expect((await store.get(tasks, taskId))?.value.status).to.equal('succeeded');
  });

  it('stops its work before its lease ends when the store is out of reach', async () => {
    region.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const { taskId } = await seed();
    let away = false;
    // The very store, until nobody reaches it any more.
    const flaky = new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return (...args: unknown[]) => {
          if (away) return Promise.reject(new Error('the store is away'));
          return (member as (...all: unknown[]) => unknown).apply(target, args);
        };
      },
    });
    const queue = queueOn(flaky);
    const run = failureOf(attemptAt(await claimed(queue), queue).run());
    await eventually(async () => (await store.get(tasks, taskId))?.value.steps.length === 1);
    away = true;
    const began = performance.now();
    await run;
    expect(performance.now() - began).to.be.below(lease);
    expect((await store.get(tasks, taskId))?.value).to.include({ queue: 'running', status: 'running' });
  });

  it('stops, and writes nothing, when another process has taken the task', async () => {
    region.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const { taskId } = await seed();
    const queue = queueOn(store);
    const run = failureOf(attemptAt(await claimed(queue), queue).run());
    await eventually(async () => (await store.get(tasks, taskId))?.value.steps.length === 1);
    await queueOn(store).takeOver(0, () => true);
    const other = await claimed(new TaskQueue(store, { owner: 'you', lease }));
    expect(await run).to.be.an.instanceOf(LeaseLost);
    expect((await store.get(tasks, taskId))?.value).to.deep.equal(other.value);
  });

  it('fails at once when the task was stored with an input that its type does not take', async () => {
    const { taskId } = await seed({ type: 'instance.reboot', input: { hard: 'very' } });
    const queue = queueOn(store);
    await attemptAt(await claimed(queue), queue).run();
    const task = await store.get(tasks, taskId);
    expect(task?.value).to.include({ status: 'failed' });
    expect(task?.value.cause).to.include({ code: 'unprocessable', retryable: false });
    expect(region.history(task?.value.subject.id ?? '')).to.deep.equal([]);
  });

  it('leaves a task of a type that it does not know to a newer process', async () => {
    const { taskId } = await seed({ type: 'instance.teleport' as 'instance.start' });
    const queue = queueOn(store);
    await attemptAt(await claimed(queue), queue).run();
    const task = await store.get(tasks, taskId);
    expect(task?.value).to.include({ status: 'pending', queue: 'waiting' });
    expect(task?.value.attempts.map(({ outcome }) => outcome)).to.deep.equal(['handed_over']);
  });
});
