/** The commands about the store, on the real program: backup, restore, compact, copy; and starts on damaged files. */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { instances } from '../../src/data/instance.js';
import { SqliteStore } from '../../src/data/store/sqlite/sqlite.js';
import type { Instance } from '../../src/model/instance.js';
import { corruptPage } from '../support/corruption.js';
import { collectionsAt, freshDatabase, mongoMissing, stopMongo } from '../support/mongo.js';
import {
  cleanUp,
  createInstance,
  mainFile,
  offerOf,
  ServerProcess,
  startServer,
  temporaryFolder,
} from '../support/process.js';
import { fill } from '../support/things.js';

describe('commands about the store', function () {
  this.timeout(60_000);
  let dataDir: string;
  let file: string;
  beforeEach(() => {
    dataDir = temporaryFolder();
    file = join(dataDir, 'copse.sqlite');
  });
  afterEach(() => cleanUp(dataDir));
  after(stopMongo);

  /** An address at which there is nothing yet, where there is a server to have one. */
  const emptyDatabases = async () => (mongoMissing() === undefined ? [await freshDatabase()] : []);
  const tablesIn = (path: string) => {
    const db = new Database(path, { readonly: true });
    const found = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").pluck(true).all();
    db.close();
    return found;
  };

  const simulated = ['--region', 'simulated'];
  const copse = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [mainFile, ...args, '--data-dir', dataDir],
      {
        encoding: 'utf8',
        timeout: 60_000,
      },
    );
    return { status, stdout, stderr };
  };
  const filled = async (name: string, count: number) => {
    const store = new SqliteStore(join(dataDir, name), collections);
    await fill(store, count);
    await store.close();
  };
  const names = async (server: ServerProcess) =>
    (await server.client.get<Instance[]>('/api/v2/instances')).body.map(({ metadata }) => metadata.name);

  it('back up a running server, and restore what it was, once it is stopped', async () => {
    const backup = join(dataDir, 'backup.sqlite');
    const server = await startServer({ dataDir, args: simulated });
    const offer = await offerOf(server.client, 'sim-linux');
    await createInstance(server.client, 'before', offer);
    const made = copse('backup', backup);
    expect(made.stderr).to.match(/^Backed up .*checked/);
    expect(made.status).to.equal(0);
    expect(statSync(backup).mode & 0o777).to.equal(0o600);
    await createInstance(server.client, 'after', offer);
    const early = copse('restore', backup, '--force');
    expect(early.status).to.equal(1);
    expect(early.stderr).to.match(/has the database .* open. Stop every server/);
    await server.kill('SIGTERM');

    const careful = copse('restore', backup);
    expect(careful.status).to.equal(1);
    expect(careful.stderr).to.include('--force');
    expect(copse('restore', backup, '--force').status).to.equal(0);
    expect(readdirSync(dataDir).some((name) => name.startsWith('copse.sqlite.before-restore-'))).to.equal(
      true,
    );
    const again = await startServer({ dataDir, args: simulated });
    expect(await names(again)).to.deep.equal(['before']);
    await again.kill('SIGTERM');
  });

  it('refuse a damaged file at the start, with what to do, and that does help', async () => {
    const backup = join(dataDir, 'backup.sqlite');
    await filled('copse.sqlite', 300);
    expect(copse('backup', backup).status).to.equal(0);
    corruptPage(file);
    const server = new ServerProcess({ dataDir, args: simulated });
    expect(await server.exit).to.equal(1);
    expect(server.stderr).to.match(
      /copse\.sqlite is damaged .*Restore a backup with "copse restore BACKUP --force"/,
    );
    expect(copse('restore', backup, '--force').status).to.equal(0);
    const again = await startServer({ dataDir, args: simulated });
    expect(await names(again)).to.have.length(100);
    await again.kill('SIGTERM');
  });

  it('check a file that was not closed, say so, and start', async () => {
    const first = await startServer({ dataDir, args: simulated });
    await createInstance(first.client, 'kept', await offerOf(first.client, 'sim-linux'));
    await first.kill('SIGKILL');
    const told = (server: ServerProcess) => server.log.filter(({ msg }) => msg.includes('was not closed'));
    const second = await startServer({ dataDir, args: simulated });
    expect(told(second)).to.have.length(1);
    expect(await names(second)).to.deep.equal(['kept']);
    await second.kill('SIGTERM');
    const third = await startServer({ dataDir, args: simulated });
    expect(told(third)).to.deep.equal([]);
    await third.kill('SIGTERM');
  });

  it('compact a store, also under a running server', async () => {
    const server = await startServer({ dataDir, args: simulated });
    const online = copse('store', 'compact');
    expect(online.status).to.equal(0);
    expect(online.stderr).to.include('a process has it open');
    expect((await server.client.get('/api/v2/instances')).status).to.equal(200);
    await server.kill('SIGTERM');
    expect(copse('store', 'compact').stderr).to.include('rewritten');
  });

  it('copy a store, go on after kill -9, tell equality by count and digest, and differences by the exit code', async () => {
    await filled('from.sqlite', 6000);
    const args = [mainFile, 'store', 'copy', 'sqlite:from.sqlite', 'sqlite:to.sqlite', '--data-dir', dataDir];
    const child = spawn(process.execPath, args, { stdio: 'ignore' });
    const target = join(dataDir, 'to.sqlite');
    const size = () => statSync(`${target}-wal`, { throwIfNoEntry: false })?.size ?? 0;
    while (size() < 4 * 2 ** 20 && child.exitCode === null) await sleep(2);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    const half = new SqliteStore(target, collections);
    expect(await half.count(instances, {})).to.be.within(1, 5999);
    await half.close();
    const unfinished = new ServerProcess({
      dataDir,
      args: simulated,
      environment: { COPSE_STORE: 'sqlite:to.sqlite' },
    });
    expect(await unfinished.exit).to.equal(1);
    expect(unfinished.stderr).to.include('unfinished copy');

    const copied = copse('store', 'copy', 'sqlite:from.sqlite', 'sqlite:to.sqlite');
    expect(copied.stderr).to.include('Both sides are equal');
    expect(copied.status).to.equal(0);
    expect(copied.stdout).to.match(/^instances +6000 {2}[0-9a-f]{64}$/m);

    await filled('other.sqlite', 1);
    const refused = copse('store', 'copy', 'sqlite:from.sqlite', 'sqlite:other.sqlite');
    expect(refused.status).to.equal(1);
    expect(refused.stderr).to.include('other data');

    await filled('to.sqlite', 1);
    const differing = copse('store', 'copy', 'sqlite:from.sqlite', 'sqlite:to.sqlite');
    expect(differing.status).to.equal(1);
    expect(differing.stdout).to.match(/differs in TO +6001/);
    expect(copse('store', 'copy', 'sqlite:missing.sqlite', 'sqlite:x.sqlite').stderr).to.include(
      'no database',
    );
    new Database(join(dataDir, 'none.sqlite')).exec('CREATE TABLE theirs (x)').close();
    for (const from of ['sqlite:none.sqlite', ...(await emptyDatabases())]) {
      const refused = copse('store', 'copy', from, 'sqlite:x.sqlite');
      expect(refused.stderr, from).to.include('source is empty');
      expect(refused.status).to.equal(1);
      expect(existsSync(join(dataDir, 'x.sqlite'))).to.equal(false);
      if (from.startsWith('mongodb')) expect(await collectionsAt(from)).to.deep.equal([]);
    }
    expect(tablesIn(join(dataDir, 'none.sqlite'))).to.deep.equal(['theirs']);
    expect(copse('store', 'copy', 'nonsense', 'sqlite:x.sqlite').stderr).to.include('not a store address');
  });

  it('do not start on a file that cannot be written, name it, and change nothing', async function () {
    if (process.getuid?.() !== 0) {
      process.stdout.write('!!! SKIPPED: only root can start a process as somebody who may not write\n');
      this.skip();
    }
    await filled('copse.sqlite', 10);
    chmodSync(file, 0o444);
    chmodSync(dataDir, 0o755);
    // Root may write anything; somebody else may not.
    const { status, stderr } = spawnSync(process.execPath, [mainFile, 'serve', '--data-dir', dataDir], {
      encoding: 'utf8',
      uid: 65534,
      gid: 65534,
      timeout: 30_000,
    });
    expect(status).to.equal(1);
    expect(stderr).to.match(/The database .*copse\.sqlite cannot be opened: .*readonly.*needs write access/);
    chmodSync(file, 0o600);
    const server = await startServer({ dataDir, args: simulated });
    expect(await names(server)).to.have.length(10);
    await server.kill('SIGTERM');
  });
});
