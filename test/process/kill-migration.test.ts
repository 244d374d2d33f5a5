/** kill -9 of a process that migrates: the next one goes on, and nothing is lost, changed twice or left out. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { instances } from '../../src/data/instance.js';
import { currentSchema } from '../../src/data/migration/index.js';
import { schema, schemaId } from '../../src/data/migration/schema.js';
import { replace } from '../../src/data/store/port.js';
import { SqliteStore } from '../../src/data/store/sqlite/sqlite.js';
import { eventually } from '../support/eventually.js';
import { cleanUp, temporaryFolder } from '../support/process.js';
import { fill } from '../support/things.js';

const count = 4000;

describe('kill -9 during a migration', function () {
  this.timeout(60_000);
  let dataDir: string;
  let file: string;
  beforeEach(() => {
    dataDir = temporaryFolder();
    file = join(dataDir, 'copse.sqlite');
  });
  afterEach(() => cleanUp(dataDir));

  function migrator(): { ended: Promise<string>; kill: () => void; said: () => string[] } {
    const script = join(import.meta.dirname, '..', 'support', 'migrate-child.js');
    const child = spawn(process.execPath, [script, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk) => (text += String(chunk)));
    return {
      ended: new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? String(code)))),
      kill: () => child.kill('SIGKILL'),
      said: () => text.split('\n'),
    };
  }

  it('three times in a row leaves a store that the fourth process completes', async () => {
    const store = new SqliteStore(file, collections);
    await fill(store, count);
    const found = await store.get(schema, schemaId);
    if (found === undefined) throw new Error('the store has no schema');
    await store.write([replace(schema, found, { version: 1 })]);
    await store.close();
    const database = new Database(file);
    // As the program of schema 1 left it.
    database.exec('UPDATE instances SET status = NULL');
    const filled = database.prepare('SELECT count(*) FROM instances WHERE status IS NOT NULL').pluck();
    for (let round = 0; round < 3; round += 1) {
      const before = filled.get() as number;
      const migrating = migrator();
      await eventually(() => (filled.get() as number) > before, { within: 20_000, what: 'the migration' });
      migrating.kill();
      expect(await migrating.ended).to.equal('SIGKILL');
      expect(filled.get()).to.be.within(before + 1, count - 1);
    }
    const last = migrator();
    expect(await last.ended).to.equal('0');
    expect(last.said()).to.include('migrated the store');
    expect(filled.get()).to.equal(count);
    expect(database.pragma('integrity_check', { simple: true })).to.equal('ok');
    database.close();
    const after = new SqliteStore(file, collections);
    expect(await after.count(instances, { filter: { status: 'provisioned' } })).to.equal(count);
    const page = await after.page(instances, { order: 'id', limit: 1000 });
    expect(new Set(page.map(({ revision }) => revision))).to.deep.equal(new Set([1]));
    expect((await after.get(schema, schemaId))?.value).to.deep.equal({ version: currentSchema });
    await after.close();
  });
});
