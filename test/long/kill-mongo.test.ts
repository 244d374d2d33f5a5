/**
 * 50 rounds of kill -9 at random moments during a mixed load on a MongoDB-compatible server: 40 of a process that writes
 * as fast as it can, 10 of the whole server under requests.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { instances } from '../../src/data/instance.js';
import { MongoStore } from '../../src/data/store/mongo/mongo.js';
import { tasks } from '../../src/data/task.js';
import { unlessBreach } from '../support/conform.js';
import { Acknowledged, killedWriter } from '../support/kill-rounds.js';
import { freshDatabase, mongoMissing, stopMongo } from '../support/mongo.js';
import { cleanUp, createInstance, offerOf, startServer, temporaryFolder } from '../support/process.js';
import { faultsIn } from '../support/store-invariants.js';

/** Milliseconds after which a writer is killed, at most. */
const longest = 900;

describe('kill -9 of processes on a MongoDB store', function () {
  this.timeout(600_000);
  let dataDir: string;
  before(function () {
    const missing = mongoMissing();
    if (missing === undefined) return;
    process.stdout.write(`!!! SKIPPED, kill -9 on MongoDB: ${missing}\n`);
    this.skip();
  });
  after(stopMongo);
  beforeEach(() => {
    dataDir = temporaryFolder();
  });
  afterEach(() => cleanUp(dataDir));

  it('40 times while it writes: what was acknowledged is there, pairs are whole, names unique', async () => {
    const made: number[] = [];
    const finished: number[] = [];
    for (let series = 0; series < 4; series += 1) {
      const address = await freshDatabase();
      const known = new Acknowledged();
      for (let round = 0; round < 10; round += 1) {
        const time = Math.random() * longest;
        for (const said of await killedWriter(address, dataDir, 10 * series + round + 1, time))
          known.add(said);
        // Opening sweeps.
        const store = await MongoStore.open(address, collections);
        try {
          await known.check(store);
        } catch (error) {
          throw new Error(`after round ${round} of ${series}, killed after ${time} ms`, { cause: error });
        } finally {
          await store.close();
        }
      }
      made.push(known.made.size);
      finished.push(known.finished.size);
    }
    const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
    expect(sum(made), 'acknowledged creates').to.be.above(20);
    expect(sum(finished), 'acknowledged ends of tasks').to.be.above(0);
  });

  it('10 times while the server answers: each 2xx is there, pairs are whole, names unique', async () => {
    const address = await freshDatabase();
    const created = new Map<string, string>();
    for (let round = 0; round < 10; round += 1) {
      const server = await startServer({
        dataDir,
        args: ['--region', 'simulated'],
        environment: {
          COPSE_STORE: address,
          COPSE_SIMULATED_DELAY: '5',
          COPSE_LIMITS_REQUESTS: '1000000',
        },
      });
      const { client } = server;
      const offer = await offerOf(client, 'sim-linux');
      let over = false;
      const lanes = Array.from({ length: 6 }, async (_, lane) => {
        for (let turn = 0; !over; turn += 1) {
          const { metadata, status } = await createInstance(client, `r${round}-${lane}-${turn}`, offer);
          created.set(metadata.id, status.taskId ?? '');
        }
      }).map((lane) => lane.catch(unlessBreach));
      const asking = Promise.all(lanes);
      // What fails before the end is told at the end.
      asking.catch(() => undefined);
      await sleep(Math.random() * 1500);
      await server.kill('SIGKILL');
      over = true;
      await asking;
      const store = await MongoStore.open(address, collections);
      try {
        for (const [id, taskId] of created) {
          expect(await store.get(instances, id), id).not.to.be.undefined;
          expect(await store.get(tasks, taskId), `task ${taskId}`).not.to.be.undefined;
        }
        expect(await faultsIn(store)).to.deep.equal([]);
      } finally {
        await store.close();
      }
    }
    expect(created.size).to.be.above(20);
  });
});
