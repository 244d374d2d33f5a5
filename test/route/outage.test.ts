/** The store goes away under a running server and comes back: what users, load balancers and the log are told of it. */
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { workers } from '../../src/data/worker.js';
import { checkedFetch } from '../support/conform.js';
import { askWorker } from '../support/worker.js';
import { eventually } from '../support/eventually.js';
import { adminKey, startServer, type TestServer } from '../support/server.js';

interface Health {
  checks: { name: string; status: string; message: string }[];
}

describe('an outage of the store', function () {
  this.timeout(60_000);
  let folder: string;
  let server: TestServer;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'copse-test-'));
    server = await startServer({
      dataDir: folder,
      ownStore: true,
      defectsExpected: true,
      flags: {
        store: 'sqlite:site.sqlite',
        simulated: { delay: 500 },
        worker: { port: 0, listen: true },
      },
    });
  });
  afterEach(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const file = () => join(folder, 'site.sqlite');
  // SQLite would go on writing into a file that nobody finds again.
  const away = () => renameSync(file(), `${file()}.away`);
  const back = () => renameSync(`${file()}.away`, file());

  const ask = async (path: string, wish?: object) => {
    const response = await checkedFetch(server.url + path, {
      headers: { Authorization: `Bearer ${adminKey}`, 'Content-Type': 'application/json' },
      ...(wish === undefined ? {} : { method: 'POST', body: JSON.stringify(wish) }),
    });
    const { status, headers } = response;
    return { status, retryAfter: headers.get('retry-after'), body: (await response.json()) as Health };
  };
  const ready = async () => (await ask('/ready')).status;
  const told = (message: string) => server.log.entries.filter((entry) => entry.message === message);

  it('is told by /ready and /health within seconds, though nobody asks for anything, and so is its end', async () => {
    expect(await ready()).to.equal(200);
    away();
    await eventually(async () => (await ready()) === 503, { within: 10_000, what: '/ready to tell' });
    const refusal = await ask('/ready');
    expect(refusal.retryAfter).to.match(/^\d+$/);
    expect(refusal.body).to.include({ code: 'store_unavailable' });
    const health = await ask('/health');
    expect(health.status).to.equal(503);
    const [store] = health.body.checks.filter(({ name }) => name === 'store');
    expect(store).to.include({ status: 'fail' });
    expect(store?.message).to.include('moved');
    back();
    await eventually(async () => (await ready()) === 200, {
      within: 10_000,
      what: '/ready to tell of its end',
    });
    expect((await ask('/health')).status).to.equal(200);
  });

  it('is told by the health of a worker, too', async () => {
    const [worker] = await server.app.store.page(workers, { order: 'id', limit: 1 });
    const health = `${worker?.value.address ?? ''}/health`;
    const status = async () => {
      const response = await askWorker(health);
      await response.body?.cancel();
      return response.status;
    };
    expect(await status()).to.equal(200);
    away();
    await eventually(async () => (await status()) === 503, { within: 10_000, what: 'the worker to tell' });
    back();
    await eventually(async () => (await status()) === 200, {
      within: 10_000,
      what: 'the worker to tell of its end',
    });
  });

  it('has one line in the log when it begins and one when it ends, not one for each request', async () => {
    away();
    for (let round = 0; round < 20; round += 1) {
      const reply = await ask('/api/v2/instances', server.instanceBody(`lost-${round}`));
      expect(reply.status).to.equal(503);
      expect(reply.body).to.include({ code: 'store_unavailable', retryable: true });
      expect(reply.retryAfter).to.match(/^\d+$/);
    }
    await eventually(async () => (await ready()) === 503, { within: 10_000 });
    back();
    await eventually(async () => (await ready()) === 200, { within: 10_000 });
    const loud = server.log.entries.filter(({ level }) => level === 'error' || level === 'warn');
    expect(loud.map(({ message }) => message)).to.deep.equal(['the store is unavailable']);
    const ended = told('the store is available again');
    expect(ended.map(({ details }) => typeof details['seconds'])).to.deep.equal(['number']);
  });

  it('is no failure of a task under way: it is recorded after, at its first try', async () => {
    const order = await server.createInstance('patient');
    await eventually(async () => (await server.task(order.status.taskId)).steps.length > 0, {
      what: 'the step to begin',
    });
    away();
    await eventually(() => server.cloud.servers().some(({ powerState }) => powerState === 'Running'), {
      within: 10_000,
      what: 'the machine to run',
    });
    await eventually(async () => (await ready()) === 503, { within: 10_000 });
    expect((await server.task(order.status.taskId)).status).to.equal('running');
    back();
    const task = await server.ended(order.status.taskId);
    expect(task.status).to.equal('succeeded');
    expect(task.attempts.map(({ number, outcome }) => [number, outcome])).to.deep.equal([[1, 'succeeded']]);
  });

  it('loses nothing that the region reports meanwhile', async () => {
    const { metadata } = await server.running('watched');
    away();
    server.cloud.interfere(metadata.id, { powerState: 'Stopped' });
    await eventually(async () => (await ready()) === 503, { within: 10_000 });
    back();
    await server.settled(metadata.id, ({ status }) => status.powerState === 'Stopped');
  });
});
