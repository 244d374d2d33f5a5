/**
 * Rounds of kill -9 at random moments during a mixed load on one SQLite file: 60 to 180 of a process that writes as fast
 * as it can, 8 to 20 of the whole server under requests. COPSE_TEST_THOROUGH=1 makes all of them; else they end after a
 * minute and half a minute, but not before two files of 30 rounds each, and enough acknowledged writes of each kind.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { instances } from '../../src/data/instance.js';
import { SqliteStore } from '../../src/data/store/sqlite/sqlite.js';
import { tasks } from '../../src/data/task.js';
import type { Instance } from '../../src/model/instance.js';
import { rounds } from '../support/budget.js';
import { unlessBreach } from '../support/conform.js';
import { Acknowledged, killedWriter } from '../support/kill-rounds.js';
import { cleanUp, createInstance, offerOf, startServer, temporaryFolder } from '../support/process.js';
import { faultsIn } from '../support/store-invariants.js';

/** Milliseconds after which a writer is killed, at most. */
const longest = 150;

describe('kill -9 of processes on a SQLite store', function () {
  this.timeout(600_000);
  let dataDir: string;
  beforeEach(() => {
    dataDir = temporaryFolder();
  });
  afterEach(() => cleanUp(dataDir));

  it('60 to 180 times while it writes: what was acknowledged is there, pairs are whole, names unique', async () => {
    const series: Acknowledged[] = [];
    let known = new Acknowledged();
    const sum = (of: 'made' | 'finished' | 'gone') => series.reduce((total, one) => total + one[of].size, 0);
    const enough = () => sum('made') > 500 && sum('finished') > 100 && sum('gone') > 50;
    for (const round of rounds({ least: 60, most: 180, seconds: 60 }, enough)) {
      // Each round looks for all that was acknowledged before, in its file.
      if (round % 30 === 0) series.push((known = new Acknowledged()));
      const file = join(dataDir, `copse-${series.length}.sqlite`);
      const time = Math.random() * longest;
      for (const said of await killedWriter(`sqlite:${file}`, dataDir, round + 1, time)) known.add(said);
      const store = new SqliteStore(file, collections);
      try {
        await known.check(store);
      } catch (error) {
        throw new Error(`after round ${round}, killed after ${time} ms`, { cause: error });
      } finally {
        await store.close();
      }
    }
    expect(sum('made'), 'acknowledged creates').to.be.above(500);
    expect(sum('finished'), 'acknowledged ends of tasks').to.be.above(100);
    expect(sum('gone'), 'acknowledged removals').to.be.above(50);
  });

  it('8 to 20 times while the server answers: each 2xx is there, pairs are whole, names unique', async () => {
    const created = new Map<string, string>();
    const deleting = new Set<string>();
    const deleted = new Set<string>();
    for (const round of rounds({ least: 8, most: 20, seconds: 30 }, () => created.size > 100)) {
      const server = await startServer({
        dataDir,
        args: ['--region', 'simulated'],
        environment: { COPSE_SIMULATED_DELAY: '5', COPSE_LIMITS_REQUESTS: '1000000' },
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
          if (turn % 3 !== 2) continue;
          deleting.add(metadata.id);
          await client.delete(`/api/v2/instances/${metadata.id}`);
          deleted.add(metadata.id);
        }
      }).map((lane) => lane.catch(unlessBreach));
      const asking = Promise.all(lanes);
      // What fails before the end is told at the end.
      asking.catch(() => undefined);
      // The server is at work from its first answer on.
      await Promise.race([first, asking]);
      await sleep(Math.random() * 500);
      await server.kill('SIGKILL');
      over = true;
      await asking;
      const store = new SqliteStore(join(dataDir, 'copse.sqlite'), collections);
      for (const [id, taskId] of created) {
        const instance = await store.get(instances, id);
        expect(await store.get(tasks, taskId), `task ${taskId}`).not.to.be.undefined;
        if (!deleting.has(id)) expect(instance, id).not.to.be.undefined;
        if (deleted.has(id) && instance !== undefined)
          expect(instance.value.deletionTime, id).to.be.a('string');
      }
      expect(await faultsIn(store)).to.deep.equal([]);
      await store.close();
    }
    expect(created.size).to.be.above(100);
    const server = await startServer({ dataDir, args: ['--region', 'simulated'] });
    for (const id of created.keys()) {
      if (deleting.has(id)) continue;
      const { body } = await server.client.get<Instance>(`/api/v2/instances/${id}`);
      expect(body.metadata.id).to.equal(id);
    }
    await server.kill('SIGTERM');
  });
});
