/** The end of a runner while it claims: whatever a claim still brings is handed back before `stop` returns. */
import { expect } from 'chai';
import { TaskQueue } from '../../src/data/queue.js';
import type { Store } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import { timestamp } from '../../src/model/common.js';
import { passingTracer } from '../../src/model/trace.js';
import { SimulatedRegion } from '../../src/region/simulated/index.js';
import { TaskRunner } from '../../src/task/runner.js';
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

describe('a runner that is stopped', () => {
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

  it('leaves no task in its hands and does nothing afterwards, however far its claims were', async () => {
    for (let turns = 0; turns < 12; turns += 1) {
      const ids = await Promise.all([1, 2, 3].map(async () => (await seedTask(store)).taskId));
      const queue = new TaskQueue(store, { owner: `runner-${turns}`, lease: options.lease });
      const runner = new TaskRunner(
        queue,
        [{ id: regionId, name: 'simulated', creationTime: timestamp(), provider: region }],
        options,
        log,
      );
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
