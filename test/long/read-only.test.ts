/** A database that becomes read-only under a running server: 503 for writes, reads go on, nothing accepted is lost. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { instances } from '../../src/data/instance.js';
import { SqliteStore } from '../../src/data/store/sqlite/sqlite.js';
import { create, shown, simulated } from '../support/disk-faults.js';
import {
  cleanUp,
  type Offer,
  offerOf,
  type ServerProcess,
  startServer,
  temporaryFolder,
  untilPower,
} from '../support/process.js';
import { faultsIn } from '../support/store-invariants.js';

function run(command: string, ...args: string[]): boolean {
  return spawnSync(command, args).status === 0;
}

/** A task whose outcome could not be stored goes on when its lease has run out. */
const options = { ...simulated, environment: { ...simulated.environment, COPSE_TASKS_LEASE: '5' } };

const started: ServerProcess[] = [];

async function start(dataDir: string): Promise<ServerProcess> {
  const server = await startServer({ dataDir, ...options });
  started.push(server);
  return server;
}

/** A server that a failed test has left would hold the file system. */
const killAll = () => Promise.all(started.splice(0).map((server) => server.kill('SIGKILL')));

const unless = (right: string) => `\n!!! SKIPPED: a database that becomes read-only needs ${right}\n`;

async function refused(server: ServerProcess, name: string, offer: Offer): Promise<void> {
  const { status, headers, body } = await create(server, name, offer);
  expect(status).to.equal(503);
  expect(body).to.include({ code: 'store_unavailable', retryable: true });
  expect(body.message).to.include('accepts no writes').and.not.to.include('SQLITE');
  expect(Number(headers.get('retry-after'))).to.be.above(0);
}

async function accepted(server: ServerProcess, name: string, offer: Offer): Promise<string> {
  const { status, body } = await create(server, name, offer);
  expect(status).to.equal(201);
  return body.metadata.id;
}

async function expectWhole(dataDir: string, kept: readonly string[]): Promise<void> {
  const store = new SqliteStore(join(dataDir, 'copse.sqlite'), collections);
  expect(await faultsIn(store)).to.deep.equal([]);
  const ids = (await store.page(instances, { order: 'id', limit: 1000 })).map(({ id }) => id);
  expect(ids).to.have.members(kept);
  await store.close();
}

/** Whether an immutable file of this folder refuses writes through a descriptor that was open before: ext4, not tmpfs. */
function bites(folder: string): boolean {
  const file = join(folder, 'probe');
  const opened = openSync(file, 'w');
  try {
    if (!run('chattr', '+i', file)) return false;
    writeSync(opened, 'x');
    return false;
  } catch {
    return true;
  } finally {
    run('chattr', '-i', file);
    closeSync(opened);
    rmSync(file);
  }
}

// A file system with a file open for writing cannot be remounted read-only: it is busy. So the files are made immutable.
describe('a database whose files become immutable', function () {
  this.timeout(180_000);
  let dataDir: string;
  // Not the shared memory beside them, which no file system takes from those who have it mapped.
  const paths = () => ['', 'copse.sqlite', 'copse.sqlite-wal'].map((name) => join(dataDir, name));

  before(function () {
    dataDir = temporaryFolder();
    if (bites(dataDir)) return;
    process.stderr.write(unless('chattr +i, on a file system such as ext4'));
    this.skip();
  });
  afterEach(killAll);
  after(async () => {
    run('chattr', '-i', ...paths());
    await cleanUp(dataDir);
  });

  it('gives 503 with a time to come back, is read meanwhile, and goes on when it can be written again', async () => {
    const server = await start(dataDir);
    const offer = await offerOf(server.client, 'sim-linux');
    const kept: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      kept.push(await accepted(server, `before-${round}`, offer));
      expect(run('chattr', '+i', ...paths())).to.equal(true);
      for (let index = 0; index < 3; index += 1) {
        await refused(server, `refused-${round}-${index}`, offer);
        for (const id of kept) expect(await shown(server, id)).to.equal(200);
      }
      expect(run('chattr', '-i', ...paths())).to.equal(true);
      kept.push(await accepted(server, `after-${round}`, offer));
      for (const id of kept) await untilPower(server.client, id, 'Running');
    }
    await server.kill('SIGTERM');
    await expectWhole(dataDir, kept);
  });

  it('takes writes into its log as long as only the database itself is immutable, and carries them over later', async () => {
    const server = await start(dataDir);
    const offer = await offerOf(server.client, 'sim-linux');
    const listed = await server.client.get<{ metadata: { id: string } }[]>('/api/v2/instances?limit=1000');
    const kept = listed.body.map(({ metadata }) => metadata.id);
    const file = join(dataDir, 'copse.sqlite');
    expect(run('chattr', '+i', file)).to.equal(true);
    // SQLite begins to carry over at 1000 pages of 4 KiB, and fails.
    for (let index = 0; statSync(`${file}-wal`).size < 8 * 2 ** 20; index += 1)
      kept.push(await accepted(server, `logged-${index}`, offer));
    expect(run('chattr', '-i', file)).to.equal(true);
    kept.push(await accepted(server, 'carried-over', offer));
    for (const id of kept) await untilPower(server.client, id, 'Running');
    await server.kill('SIGKILL');
    await expectWhole(dataDir, kept);
  });
});

describe('a file system that goes read-only after an error', function () {
  this.timeout(180_000);
  let dataDir: string;
  let image: string;
  const mount = () => run('mount', '-o', 'loop', image, dataDir);

  before(function () {
    dataDir = temporaryFolder();
    image = `${dataDir}.ext4`;
    closeSync(openSync(image, 'w'));
    truncateSync(image, 64 * 2 ** 20);
    if (run('mke2fs', '-q', '-F', '-t', 'ext4', image) && mount()) return;
    process.stderr.write(unless('mke2fs and the right to mount a loop device'));
    this.skip();
  });
  afterEach(killAll);
  after(async () => {
    run('umount', '-l', dataDir);
    rmSync(image, { force: true });
    await cleanUp(dataDir);
  });

  it('gives 503, is read meanwhile, and after its repair and a restart has all that was accepted', async () => {
    const server = await start(dataDir);
    const offer = await offerOf(server.client, 'sim-linux');
    const kept: string[] = [];
    for (let index = 0; index < 10; index += 1) kept.push(await accepted(server, `before-${index}`, offer));
    expect(run('mount', '-o', 'remount,abort', dataDir)).to.equal(true);
    for (let index = 0; index < 3; index += 1) {
      await refused(server, `refused-${index}`, offer);
      for (const id of kept) expect(await shown(server, id)).to.equal(200);
    }
    await server.kill('SIGKILL');
    expect(run('umount', dataDir) && mount()).to.equal(true);
    const again = await start(dataDir);
    for (const id of kept) expect(await shown(again, id)).to.equal(200);
    const after = await accepted(again, 'after', offer);
    // Of the machines from before, the simulated cloud has forgotten some: it waits for no disk.
    await untilPower(again.client, after, 'Running');
    kept.push(after);
    await again.kill('SIGTERM');
    await expectWhole(dataDir, kept);
  });
});
