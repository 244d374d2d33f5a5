/**
 * Rounds of kill -9 at random moments during a mixed load on a MongoDB-compatible server: 20 to 40 of a process that
 * writes as fast as it can, 5 to 10 of the whole server under requests. COPSE_TEST_THOROUGH=1 makes all of them; else they
 * end after a minute and half a minute, but not before two databases of 10 rounds each, and enough acknowledged writes.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { instances } from '../../src/data/instance.js';
import { MongoStore } from '../../src/data/store/mongo/mongo.js';
import { tasks } from '../../src/data/task.js';
import { rounds } from '../support/budget.js';
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

  it('20 to 40 times while it writes: what was acknowledged is there, pairs are whole, names unique', async () => {
    const series: Acknowledged[] = [];
    let [address, known] = ['', new Acknowledged()];
    const sum = (of: 'made' | 'finished') => series.reduce((total, one) => total + one[of].size, 0);
    const enough = () => sum('made') > 20 && sum('finished') > 0;
    for (const round of rounds({ least: 20, most: 40, seconds: 60 }, enough)) {
      if (round % 10 === 0) {
        series.push((known = new Acknowledged()));
        address = await freshDatabase();
      }
      const time = Math.random() * longest;
      for (const said of await killedWriter(address, dataDir, round + 1, time)) known.add(said);
      // Opening sweeps.
      const store = await MongoStore.open(address, collections);
      try {
        await known.check(store);
      } catch (error) {
        throw new Error(`after round ${round}, killed after ${time} ms`, { cause: error });
      } finally {
        await store.close();
      }
    }
    expect(sum('made'), 'acknowledged creates').to.be.above(20);
    expect(sum('finished'), 'acknowledged ends of tasks').to.be.above(0);
  });

  it('5 to 10 times while the server answers: each 2xx is there, pairs are whole, names unique', async () => {
    const address = await freshDatabase();
    const created = new Map<string, string>();
    for (const round of rounds({ least: 5, most: 10, seconds: 30 }, () => created.size > 20)) {
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
      const answered = new AbortController();
      const first = once(answered.signal, 'abort');
      const lanes = Array.from({ length: 6 }, async (_, lane) => {
        for (let turn = 0; !over; turn += 1) {
          const { metadata, status } = await createInstance(client, `r${round}-${lane}-${turn}`, offer);
          created.set(metadata.id, status.taskId ?? '');
          answered.abort();
        }
      }).map((lane) => lane.catch(unlessBreach));
      const asking = Promise.all(lanes);
      // What fails before the end is told at the end.
      asking.catch(() => undefined);
      // The server is at work from its first answer on.
      await Promise.race([first, asking]);
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
