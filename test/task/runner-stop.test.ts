/**
 * Edges of the runner: the end while it claims (whatever a claim still brings is handed back before `stop` returns), a
 * task that it claims a second time, and failures that come thick and fast.
 */
import { expect } from 'chai';
import { TaskQueue } from '../../src/data/queue.js';
import type { Store } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import { timestamp } from '../../src/model/common.js';
import { passingTracer } from '../../src/model/trace.js';
import { SimulatedRegion } from '../../src/region/simulated/index.js';
import { type RunnerOptions, TaskRunner } from '../../src/task/runner.js';
import { eventually } from '../support/eventually.js';
import { RecordingLog } from '../support/log.js';
import { regionId, seedTask } from '../support/rows.js';
import { openTestStore } from '../support/store.js';

const options = {
  lease: 60_000,
  maxAttempts: 3,
  maxInterruptions: 10,
  backoff: 1,
  backoffMax: 1,
  tracer: passingTracer,
  concurrency: 4,
  poll: 60_000,
  grace: 0,
};

describe('a runner', () => {
  let store: Store;
  let region: SimulatedRegion;
  let log: RecordingLog;

  beforeEach(async () => {
    log = new RecordingLog();
    store = await openTestStore();
    region = new SimulatedRegion({ regionId, file: ':memory:', delay: 0, failureRate: 0, seed: 1, log });
    await region.open();
  });
  afterEach(async () => {
    await region.close();
    await store.close();
  });

  const runnerOn = (queue: TaskQueue, change: Partial<RunnerOptions> = {}) =>
    new TaskRunner(
      queue,
      [{ id: regionId, name: 'simulated', creationTime: timestamp(), provider: region }],
      { ...options, ...change },
      log,
    );
  const taskOf = async (id: string) => (await store.get(tasks, id))?.value;

  it('lets its earlier attempt end at once when it claims the same task anew, and hands the new one back', async () => {
    region.program({ verb: 'stopServer', error: 'transient', delay: 60_000 });
    const { taskId } = await seedTask(store);
    const queue = new TaskQueue(store, { owner: 'runner', lease: options.lease });
    const runner = runnerOn(queue);
    await runner.start();
    await eventually(async () => (await taskOf(taskId))?.steps.length === 1);
    // As after a standstill: another process sees no sign of life and frees the task, and this one is the first to ask.
    await new TaskQueue(store, { owner: 'watcher', lease: 1 }).takeOver(0, () => true);
    await eventually(async () => (await taskOf(taskId))?.steps.length === 2);
    expect(log.entries.filter(({ message }) => message === 'another process has the task')).to.have.length(1);
    await runner.stop();
    const task = await taskOf(taskId);
    expect(task?.queue).to.equal('ready');
    expect(task?.attempts.map(({ outcome }) => outcome)).to.deep.equal(['interrupted', 'handed_over']);
  });

  it('looks after the queue in time while attempts fail faster than its looks come', async () => {
    region.program({ verb: 'stopServer', error: 'transient' });
    const queue = new TaskQueue(store, { owner: 'runner', lease: options.lease });
    const runner = runnerOn(queue, { poll: 300, backoff: 250, backoffMax: 250, maxAttempts: 50 });
    await runner.start();
    const { taskId } = await seedTask(store);
    await eventually(async () => {
      await seedTask(store);
      return ((await taskOf(taskId))?.attempts.length ?? 0) > 1;
    });
    await runner.stop();
  });

  it('that is stopped leaves no task in its hands and does nothing afterwards, however far its claims were', async () => {
    for (let turns = 0; turns < 12; turns += 1) {
      const ids = await Promise.all([1, 2, 3].map(async () => (await seedTask(store)).taskId));
      const queue = new TaskQueue(store, { owner: `runner-${turns}`, lease: options.lease });
      const runner = runnerOn(queue);
      await runner.start();
      for (let turn = 0; turn < turns; turn += 1) await new Promise(setImmediate);
      await runner.stop();
      const left = () => Promise.all(ids.map((id) => store.get(tasks, id)));
      const atStop = await left();
      const held = atStop.filter((task) => task?.value.queue === 'running');
      expect(held, `stopped after ${turns} turns`).to.deep.equal([]);
      for (let turn = 0; turn < 30; turn += 1) await new Promise(setImmediate);
      // The store may be closed by now.
      expect(await left(), `stopped after ${turns} turns, a while later`).to.deep.equal(atStop);
    }
    expect(log.defects()).to.deep.equal([]);
  });
});
