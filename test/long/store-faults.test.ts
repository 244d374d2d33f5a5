/** Faults of disk, file and clock under a running server: a clear error, nothing lost, and recovery without a restart. */
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { instances } from '../../src/data/instance.js';
import { SqliteStore } from '../../src/data/store/sqlite/sqlite.js';
import type { Instance } from '../../src/model/instance.js';
import type { Task } from '../../src/model/task.js';
import { checkedFetch } from '../support/conform.js';
import { corruptPage } from '../support/corruption.js';
import { create, type Refusal, shown, simulated } from '../support/disk-faults.js';
import {
  adminKey,
  cleanUp,
  offerOf,
  ServerProcess,
  startServer,
  temporaryFolder,
  until,
  untilPower,
} from '../support/process.js';
import { faultsIn } from '../support/store-invariants.js';
import { fill } from '../support/things.js';

describe('a full disk', function () {
  this.timeout(180_000);
  let dataDir: string;
  before(function () {
    dataDir = temporaryFolder();
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'none', dataDir]);
    if (mounted.status === 0) return;
    process.stderr.write('\n!!! SKIPPED: a full disk needs the right to mount a tmpfs\n');
    this.skip();
  });
  after(async () => {
    spawnSync('umount', ['-l', dataDir]);
    await cleanUp(dataDir);
  });

  it('gives 503 with a time to come back, loses nothing, and is over when there is room again', async () => {
    const server = await startServer({ dataDir, ...simulated });
    const offer = await offerOf(server.client, 'sim-linux');
    const kept: string[] = [];
    for (let index = 0; index < 5; index += 1) {
      const { status, body } = await create(server, `before-${index}`, offer);
      expect(status).to.equal(201);
      kept.push(body.metadata.id);
    }
    for (const id of kept) await untilPower(server.client, id, 'Running');

    const filler = join(dataDir, 'filler');
    for (let round = 0; round < 3; round += 1) {
      expect(() => {
        for (;;) appendFileSync(filler, Buffer.alloc(4096));
      }).to.throw(/ENOSPC/);
      const refused = await until('the disk to be full for a create', 60, async () => {
        const answer = await create(server, `full-${round}-${Math.random().toString(36).slice(2)}`, offer);
        if (answer.status === 503) return answer;
        expect(answer.status).to.equal(201);
        kept.push(answer.body.metadata.id);
        return undefined;
      });
      expect(refused.body).to.include({ code: 'store_unavailable', retryable: true });
      expect(refused.body.message).to.include('disk is full').and.not.to.include('SQLITE');
      expect(Number(refused.headers.get('retry-after'))).to.be.above(0);
      for (const id of kept.slice(0, 5)) expect(await shown(server, id)).to.equal(200);
      rmSync(filler);
      const again = await create(server, `room-${round}`, offer);
      expect(again.status).to.equal(201);
      kept.push(again.body.metadata.id);
    }
    // Lines are gathered for a moment before they are written.
    await until('the cause in the log', 5, () => {
      const lines = server.log.map((line) => JSON.stringify(line)).join('\n');
      return lines.includes('caused by: SqliteError: database or disk is full') || undefined;
    });
    for (const id of kept) await untilPower(server.client, id, 'Running');
    await server.kill('SIGTERM');
    const store = new SqliteStore(join(dataDir, 'copse.sqlite'), collections);
    expect(await faultsIn(store)).to.deep.equal([]);
    expect(await store.count(instances, {})).to.equal(kept.length);
    await store.close();
  });
});

describe('a damaged page', function () {
  this.timeout(120_000);
  let dataDir: string;
  beforeEach(() => {
    dataDir = temporaryFolder();
  });
  afterEach(() => cleanUp(dataDir));

  for (const closed of [true, false]) {
    it(`is found at the start ${closed ? 'of a closed file' : 'after a kill -9'}, and nothing is answered`, async () => {
      const file = join(dataDir, 'copse.sqlite');
      mkdirSync(dataDir, { recursive: true });
      const store = new SqliteStore(file, collections);
      await fill(store, 2000);
      await store.close();
      if (!closed) await (await startServer({ dataDir, ...simulated })).kill('SIGKILL');
      corruptPage(file);
      const server = new ServerProcess({ dataDir, ...simulated });
      expect(await server.exit).to.equal(1);
      expect(server.stderr).to.match(/is damaged .*copse restore BACKUP --force/);
      expect(server.url).to.equal('');
    });
  }

  it('under a running server gives 503 and never a wrong answer', async () => {
    const file = join(dataDir, 'copse.sqlite');
    const store = new SqliteStore(file, collections);
    // More than SQLite keeps in memory, so that pages are read again.
    await fill(store, 20_000);
    const sample = await store.page(instances, { order: 'id', limit: 1000 });
    await store.close();
    const server = await startServer({ dataDir, ...simulated });
    const headers = { Authorization: `Bearer ${adminKey}` };
    corruptPage(file);
    let refused = 0;
    for (const { id, value } of sample) {
      const answer = await checkedFetch(`${server.url}/api/v2/instances/${id}`, { headers });
      const body = (await answer.json()) as Instance & Refusal;
      if (answer.status === 200) expect(body.metadata.name).to.equal(value.name);
      else {
        expect(answer.status).to.equal(503);
        expect(body).to.include({ code: 'store_unavailable' });
        refused += 1;
      }
    }
    expect(refused).to.be.above(0);
    await server.kill('SIGKILL');
  });
});

describe('a clock that jumps an hour on, two back, and home', function () {
  this.timeout(180_000);
  let dataDir: string;
  beforeEach(() => {
    dataDir = temporaryFolder();
  });
  afterEach(() => cleanUp(dataDir));

  it('loses nothing and doubles nothing, and the server goes on', async () => {
    const clock = join(import.meta.dirname, '..', 'support', 'clock.js');
    const server = await startServer({
      dataDir,
      args: simulated.args,
      environment: {
        ...simulated.environment,
        COPSE_SIMULATED_DELAY: '60',
        NODE_OPTIONS: `--import ${clock}`,
      },
    });
    const offer = await offerOf(server.client, 'sim-linux');
    const made: Instance[] = [];
    for (let jump = 0; jump < 4; jump += 1) {
      for (let index = 0; index < 6; index += 1) {
        const { status, body } = await create(server, `clock-${jump}-${index}`, offer);
        expect(status).to.equal(201);
        made.push(body);
        // In the midst of the tasks.
        if (index === 3 && jump < 3) {
          server.child.kill('SIGUSR2');
          const wanted = jump + 1;
          await until('the clock to jump', 10, () =>
            server.stderr.split('clock').length - 1 === wanted ? true : undefined,
          );
        }
      }
      for (const { metadata } of made) expect(await shown(server, metadata.id)).to.equal(200);
    }
    for (const { metadata, status } of made) {
      await untilPower(server.client, metadata.id, 'Running', 60);
      const { body } = await server.client.get<Task>(`/api/v2/tasks/${status.taskId ?? ''}`);
      expect(body.status).to.equal('succeeded');
    }
    const listed = await server.client.get<Instance[]>('/api/v2/instances?limit=1000');
    expect(listed.body.map(({ metadata }) => metadata.id).sort()).to.deep.equal(
      made.map(({ metadata }) => metadata.id).sort(),
    );
    expect(server.log.filter((line) => line['level'] === 'error')).to.deep.equal([]);
    await server.kill('SIGTERM');
    const store = new SqliteStore(join(dataDir, 'copse.sqlite'), collections);
    expect(await faultsIn(store)).to.deep.equal([]);
    await store.close();
  });
});
