import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import { instances } from '../../src/data/instance.js';
import { type HeldTask, LeaseLost } from '../../src/data/held-task.js';
import { TaskQueue } from '../../src/data/queue.js';
import { insert, replace, type Store } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import { timestamp } from '../../src/model/common.js';
import type { TaskRecord } from '../../src/model/task.js';
import { abortAsked, claimed as claimedBy, interrupted, retried } from '../../src/model/task-state.js';
import { passingTracer } from '../../src/model/trace.js';
import { SimulatedRegion } from '../../src/region/simulated/index.js';
import { Attempt } from '../../src/task/attempt.js';
import { eventually, failureOf } from '../support/eventually.js';
import { RecordingLog } from '../support/log.js';
import { faulty } from '../support/outage.js';
import { instanceRecord, regionId, taskRecord } from '../support/rows.js';
import { openTestStore } from '../support/store.js';
import { patient, principal, scratchFolder } from '../support/region.js';

const lease = 200;
const options = {
  maxAttempts: 3,
  maxInterruptions: 10,
  backoff: 1,
  backoffMax: 60_000,
  tracer: passingTracer,
};

const failure = { code: 'unavailable', message: 'Not today.', retryable: true } as const;

const claimedState = (task: TaskRecord) =>
  claimedBy(task, { owner: 'me', until: Date.now() + lease }, new Date());

describe('an attempt at a task', () => {
  let folder: string;
  let store: Store;
  let region: SimulatedRegion;
  let log: RecordingLog;

  const attemptAt = (claim: HeldTask) => new Attempt(claim, region, options, log);
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
    const run = attemptAt(await claimed(queue)).run();
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
    const run = failureOf(attemptAt(await claimed(queue)).run());
    await eventually(async () => (await store.get(tasks, taskId))?.value.steps.length === 1);
    away = true;
    const began = performance.now();
    await run;
    expect(performance.now() - began).to.be.below(lease);
    expect((await store.get(tasks, taskId))?.value).to.include({ queue: 'running', status: 'running' });
  });

  it('hands its task back when its process ends during an outage before the first step', async () => {
    const { taskId } = await seed();
    const flaky = faulty(store);
    const attempt = attemptAt(await claimed(queueOn(flaky.store)));
    flaky.fault = 'away';
    const run = attempt.run();
    attempt.handBack();
    await eventually(() => flaky.refused > 1);
    flaky.fault = 'none';
    expect(await run).to.deep.equal({});
    const task = await store.get(tasks, taskId);
    expect(task?.value).to.include({ status: 'pending', queue: 'ready' });
    expect(task?.value.attempts.map(({ outcome }) => outcome)).to.deep.equal(['handed_over']);
  });

  it('that is to end is cancelled after an outage before the first step', async () => {
    const { instanceId, taskId } = await seed({ abort: true, abortedBy: 'ann' });
    const flaky = faulty(store);
    const attempt = attemptAt(await claimed(queueOn(flaky.store)));
    flaky.fault = 'away';
    const run = attempt.run();
    await eventually(() => flaky.refused > 1);
    flaky.fault = 'none';
    await run;
    expect((await store.get(tasks, taskId))?.value).to.include({ status: 'cancelled', queue: 'done' });
    expect(region.history(instanceId)).to.deep.equal([]);
  });

  it('is given back although the store refuses that once, and not for ever when it stays away', async () => {
    for (const fault of ['away', 'none'] as const) {
      region.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
      const { taskId } = await seed();
      const flaky = faulty(store);
      const attempt = attemptAt(await claimed(new TaskQueue(flaky.store, { owner: 'me', lease: 60_000 })));
      const run = attempt.run().then(
        () => 'stored',
        () => 'left',
      );
      await eventually(async () => (await store.get(tasks, taskId))?.value.steps.length === 1);
      flaky.fault = 'away';
      attempt.handBack();
      await eventually(() => flaky.refused > 0);
      flaky.fault = fault;
      expect(await run).to.equal(fault === 'none' ? 'stored' : 'left');
      const queue = fault === 'none' ? 'ready' : 'running';
      expect((await store.get(tasks, taskId))?.value).to.include({ queue });
    }
  });

  it('ends a step that was aborted after its record and before its call', async () => {
    const { instanceId, taskId } = await seed();
    const attempts: Attempt[] = [];
    const ending = new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]) => {
          const result: unknown = await (member as (...all: unknown[]) => unknown).apply(target, args);
          if (name === 'write') for (const attempt of attempts) attempt.handBack();
          return result;
        };
      },
    });
    const attempt = attemptAt(await claimed(queueOn(ending)));
    attempts.push(attempt);
    await attempt.run();
    const [step] = (await store.get(tasks, taskId))?.value.steps ?? [];
    expect(step).to.include({ outcome: 'failed' }).and.to.have.property('endTime');
    expect(step?.cause).to.include({ code: 'handed_over' });
    expect(region.history(instanceId)).to.deep.equal([]);
  });

  it('does not begin a step when its process stood still for a lease after it was recorded', async () => {
    const { instanceId, taskId } = await seed();
    const slow = new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]) => {
          const result: unknown = await (member as (...all: unknown[]) => unknown).apply(target, args);
          // Nothing in this process runs meanwhile, as under SIGSTOP.
          if (name === 'write') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1.5 * lease);
          return result;
        };
      },
    });
    const queue = queueOn(slow);
    expect(await failureOf(attemptAt(await claimed(queue)).run())).to.be.an.instanceOf(LeaseLost);
    expect(region.history(instanceId)).to.deep.equal([]);
    expect((await store.get(tasks, taskId))?.value).to.include({ queue: 'running', status: 'running' });
  });

  it('stops, and writes nothing, when another process has taken the task', async () => {
    region.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const { taskId } = await seed();
    const queue = queueOn(store);
    const run = failureOf(attemptAt(await claimed(queue)).run());
    await eventually(async () => (await store.get(tasks, taskId))?.value.steps.length === 1);
    // A heartbeat at the same moment comes first.
    await eventually(async () => (await queueOn(store).takeOver(0, () => true)) === 1);
    const other = await claimed(new TaskQueue(store, { owner: 'you', lease }));
    expect(await run).to.be.an.instanceOf(LeaseLost);
    expect((await store.get(tasks, taskId))?.value).to.deep.equal(other.value);
  });

  for (const end of ['succeeds', 'fails for good', 'is tried again'] as const) {
    it(`leaves an instance that was deleted meanwhile as being deleted when it ${end}`, async () => {
      const error = end === 'fails for good' ? 'terminal' : end === 'succeeds' ? undefined : 'transient';
      region.program({
        verb: 'ensureServer',
        delay: 150,
        times: 1,
        ...(error === undefined ? {} : { error }),
      });
      const { instanceId, taskId } = await seed();
      const queue = queueOn(store);
      const run = attemptAt(await claimed(queue)).run();
      await eventually(async () => (await store.get(tasks, taskId))?.value.steps.length === 1);
      // As a delete does of which the worker has not heard yet.
      const found = await store.get(instances, instanceId);
      if (found === undefined) throw new Error('the instance is not there');
      const deleted = { status: 'deprovisioning' } as const;
      const next = { ...found.value, deletionTime: timestamp(), provisioning: deleted };
      await store.write([replace(instances, found, next)]);
      await run;
      if (end === 'is tried again') {
        await eventually(async () => (await queue.promoteDue(Date.now())) === undefined);
        await attemptAt(await claimed(queue)).run();
      }
      expect((await store.get(tasks, taskId))?.value.queue).to.equal('done');
      expect((await store.get(instances, instanceId))?.value.provisioning).to.deep.equal(deleted);
    });
  }

  it('pauses before the next attempt twice as long as before, between half of that and the whole, and never beyond the bound', async () => {
    const rule = { ...options, maxAttempts: 100, backoff: 1000, backoffMax: 20_000 };
    for (const [failures, most] of [
      [0, 1000],
      [2, 4000],
      [4, 16_000],
      [5, 20_000],
      [40, 20_000],
    ] as const) {
      region.program({ verb: 'ensureServer', error: 'transient', times: 1 });
      const attempts = Array.from({ length: failures }, (_, index) => ({
        number: index + 1,
        startTime: timestamp(),
        endTime: timestamp(),
        outcome: 'failed' as const,
      }));
      await seed({ attempts });
      const queue = queueOn(store);
      const claim = await claimed(queue);
      const before = Date.now();
      const { retryAt = 0 } = await new Attempt(claim, region, rule, log).run();
      expect(retryAt - before, `after ${failures} failures`).to.be.at.least(most / 2);
      expect(retryAt - Date.now(), `after ${failures} failures`).to.be.at.most(most);
    }
  });

  /** A stop that is at work on a machine which, in truth, runs again; the instance goes on to say that it stops. */
  const stopOfWhatRuns = async (rule: Parameters<SimulatedRegion['program']>[0]) => {
    const { instanceId, taskId } = await seed({ type: 'instance.stop' });
    const found = await store.get(instances, instanceId);
    if (found === undefined) throw new Error('the instance is not there');
    const { flavorId, imageId } = found.value;
    await region.ensureServer({ id: instanceId, hostname: 'x', flavorId, imageId, tags: [] }, patient());
    const wished = { ...found.value, desiredPower: 'stopped', powerState: 'Stopping' } as const;
    await store.write([replace(instances, found, wished)]);
    region.program(rule);
    const queue = queueOn(store);
    const attempt = attemptAt(await claimed(queue));
    const run = attempt.run();
    const told = async () => {
      await run;
      return (await store.get(instances, instanceId))?.value;
    };
    return { instanceId, taskId, attempt, told };
  };

  it('that is aborted tells of the machine what the region says', async () => {
    const { instanceId, taskId, attempt, told } = await stopOfWhatRuns({
      verb: 'stopServer',
      delay: 60_000,
      times: 1,
    });
    await eventually(() => region.servers()[0]?.powerState === 'Stopping');
    region.interfere(instanceId, { powerState: 'Running' });
    const task = await store.get(tasks, taskId);
    if (task === undefined) throw new Error('the task is not there');
    await store.write([replace(tasks, task, abortAsked(task.value, 'ann'))]);
    attempt.checkAbort();
    expect(await told()).to.include({ powerState: 'Running', powerMessage: 'The task was aborted by ann.' });
    expect((await store.get(tasks, taskId))?.value).to.include({ status: 'cancelled' });
  });

  it('that fails for good tells of the machine what the region says', async () => {
    const { taskId, told } = await stopOfWhatRuns({ verb: 'stopServer', error: 'terminal', times: 1 });
    expect(await told())
      .to.include({ powerState: 'Running' })
      .and.to.have.property('powerMessage');
    expect((await store.get(tasks, taskId))?.value).to.include({ status: 'failed' });
  });

  it('fails at once when the task was stored with an input that its type does not take', async () => {
    const { taskId } = await seed({ type: 'instance.reboot', input: { hard: 'very' } });
    const queue = queueOn(store);
    await attemptAt(await claimed(queue)).run();
    const task = await store.get(tasks, taskId);
    expect(task?.value).to.include({ status: 'failed' });
    expect(task?.value.cause).to.include({ code: 'unprocessable', retryable: false });
    expect(region.history(task?.value.subject?.id ?? '')).to.deep.equal([]);
  });

  it('leaves a task of a type that it does not know to a newer process', async () => {
    const { taskId } = await seed({ type: 'instance.teleport' as 'instance.start' });
    const queue = queueOn(store);
    await attemptAt(await claimed(queue)).run();
    const task = await store.get(tasks, taskId);
    expect(task?.value).to.include({ status: 'pending', queue: 'waiting' });
    expect(task?.value.attempts.map(({ outcome }) => outcome)).to.deep.equal(['handed_over']);
  });

  it('leaves such a task alone for a while also when it is to end, and ends the wait of others that are', async () => {
    const unknown = await seed({ type: 'instance.teleport' as 'instance.start', abort: true });
    const queue = queueOn(store);
    await attemptAt(await claimed(queue)).run();
    expect((await store.get(tasks, unknown.taskId))?.value).to.include({ queue: 'waiting', abort: true });
    expect(await queue.claim(regionId)).to.be.undefined;

    const before = taskRecord(uuidv7());
    const waiting = retried(claimedState(before), failure, Date.now() + 60_000);
    expect(waiting.queue).to.equal('waiting');
    expect(abortAsked(waiting, 'ann').queue).to.equal('ready');
    // Asked to end while the attempt was failing.
    const asked = abortAsked(claimedState(before), 'ann');
    expect(retried(asked, failure, Date.now() + 60_000).queue).to.equal('ready');
    expect(interrupted(asked, 'interrupted', Date.now() + 60_000).queue).to.equal('ready');
  });
});
