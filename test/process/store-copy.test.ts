/** `copse store copy` from one engine to the other and back, killed on its way: on the real program. */
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { instances } from '../../src/data/instance.js';
import { openStore } from '../../src/site/stores.js';
import { eventually } from '../support/eventually.js';
import { dropDatabase, freshDatabase, mongoMissing, stopMongo } from '../support/mongo.js';
import { cleanUp, mainFile, ServerProcess, temporaryFolder } from '../support/process.js';
import { fill } from '../support/things.js';

/** Three pages of a copy: between the first and the last there is time to notice and to kill. */
const count = 1200;

describe('a copy from engine to engine that is killed', function () {
  this.timeout(120_000);
  let dataDir: string;
  let database: string | undefined;

  before(async function () {
    const missing = mongoMissing();
    if (missing !== undefined) {
      process.stdout.write(`!!! SKIPPED, copies between the engines: ${missing}\n`);
      this.skip();
    }
    dataDir = temporaryFolder();
    database = await freshDatabase();
    const store = await openStore('sqlite:from.sqlite', dataDir, collections);
    await fill(store, count);
    await store.close();
  });
  after(async () => {
    if (database === undefined) return;
    await cleanUp(dataDir);
    await dropDatabase(database);
    await stopMongo();
  });

  const args = (from: string, to: string) => [mainFile, 'store', 'copy', from, to, '--data-dir', dataDir];

  /** Begins a copy, kills it when the first documents are there, and gives how many. */
  async function killOnTheWay(from: string, to: string): Promise<number> {
    const target = await openStore(to, dataDir, collections);
    const child = spawn(process.execPath, args(from, to), { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await eventually(async () => child.exitCode !== null || (await target.count(instances, {})) > 0, {
      within: 15_000,
      what: 'the first documents of the copy',
    });
    child.kill('SIGKILL');
    await ended;
    const done = await target.count(instances, {});
    await target.close();
    expect(child.exitCode, `the copy ended before it was killed: ${said}`).to.equal(null);
    return done;
  }

  /** Goes on to the end; gives the count and the digest of the instances, which both sides have. */
  function finish(from: string, to: string): string {
    const { status, stdout, stderr } = spawnSync(process.execPath, args(from, to), {
      encoding: 'utf8',
      timeout: 100_000,
    });
    expect(stderr).to.include('Both sides are equal');
    expect(status).to.equal(0);
    return /^instances +(.*)$/m.exec(stdout)?.[1] ?? '';
  }

  async function isRefusedBy(store: string): Promise<void> {
    const options = { dataDir, args: ['--region', 'simulated'], environment: { COPSE_STORE: store } };
    const server = new ServerProcess(options);
    expect(await server.exit).to.equal(1);
    expect(server.stderr).to.include('unfinished copy');
  }

  it('goes on to MongoDB, and from there back into a file, and all sides have the same digest', async () => {
    const there = database ?? '';
    const back = `sqlite:${join(dataDir, 'back.sqlite')}`;
    const digests: string[] = [];
    for (const [from, to] of [
      ['sqlite:from.sqlite', there],
      [there, back],
    ] as const) {
      expect(await killOnTheWay(from, to)).to.be.within(1, count - 1);
      await isRefusedBy(to);
      digests.push(finish(from, to));
    }
    const [whole] = digests;
    expect(whole).to.match(new RegExp(`^${count} {2}[0-9a-f]{64}$`));
    expect(digests).to.deep.equal([whole, whole]);
  });
});
