import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { collections } from '../../../../src/data/connector.js';
import { instances } from '../../../../src/data/instance.js';
import { remove } from '../../../../src/data/store/port.js';
import { backUp, compact, restore } from '../../../../src/data/store/sqlite/backup.js';
import { SqliteStore } from '../../../../src/data/store/sqlite/sqlite.js';
import { failureOf } from '../../../support/eventually.js';
import { corruptPage } from '../../../support/corruption.js';
import { fill } from '../../../support/things.js';

const quiet = () => undefined;

describe('a backup of a SQLite store', () => {
  let folder: string;
  let file: string;
  let target: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'copse-backup-'));
    file = join(folder, 'copse.sqlite');
    target = join(folder, 'backup.sqlite');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const counted = async (path: string) => {
    const store = new SqliteStore(path, collections);
    const count = await store.count(instances, {});
    await store.close();
    return count;
  };
  const files = () =>
    readdirSync(folder)
      .filter((name) => !/-(wal|shm)$/.test(name))
      .sort();

  it('holds what was stored when it began, however others write meanwhile, and only its owner may read it', async () => {
    const store = new SqliteStore(file, collections);
    await fill(store, 3000);
    const progress = { over: false };
    const backing = backUp(file, target, quiet).finally(() => (progress.over = true));
    let rounds = 0;
    for (; !progress.over; rounds += 1) {
      const [first] = await store.page(instances, { order: 'id', limit: 1 });
      if (first !== undefined) await store.write([remove(instances, first)]);
      await new Promise(setImmediate);
    }
    await backing;
    expect(rounds, 'writes during the backup').to.be.above(1);
    await store.close();
    expect(statSync(target).mode & 0o777).to.equal(0o600);
    expect(files()).to.deep.equal(['backup.sqlite', 'copse.sqlite']);
    const database = new Database(target, { readonly: true });
    expect(database.pragma('integrity_check', { simple: true })).to.equal('ok');
    database.close();
    expect(await counted(target)).to.equal(3000);
  });

  it('does not overwrite a file, and does not make a database where there is none', async () => {
    expect((await failureOf(backUp(file, target, quiet))).message).to.include('There is no database');
    await new SqliteStore(file, collections).close();
    writeFileSync(target, 'mine');
    expect((await failureOf(backUp(file, target, quiet))).message).to.include('exists');
    expect(readFileSync(target, 'utf8')).to.equal('mine');
    expect(files()).to.deep.equal(['backup.sqlite', 'copse.sqlite']);
  });

  it('of a damaged file is not made', async () => {
    const store = new SqliteStore(file, collections);
    await fill(store, 500);
    await store.close();
    corruptPage(file);
    expect((await failureOf(backUp(file, target, quiet))).message).to.match(/damaged .*Restore a backup/);
    expect(files()).to.deep.equal(['copse.sqlite']);
  });

  it('is put in place of a store only with force, which keeps the old one whole', async () => {
    const store = new SqliteStore(file, collections);
    await fill(store, 10);
    await backUp(file, target, quiet);
    await fill(store, 0);
    const [first] = await store.page(instances, { order: 'id', limit: 1 });
    if (first !== undefined) await store.write([remove(instances, first)]);
    expect(() => restore(target, file, true, quiet), 'while it is open').to.throw(
      /has the database .* open.*Stop/,
    );
    expect(() => restore(target, file, false, quiet)).to.throw(/--force/);
    await store.close();
    const kept = restore(target, file, true, quiet) ?? '';
    expect(await counted(file)).to.equal(10);
    expect(await counted(kept)).to.equal(9);
    expect(statSync(file).mode & 0o777).to.equal(0o600);
  });

  it('that is damaged, or no backup at all, is not restored, and the store stays', async () => {
    const store = new SqliteStore(file, collections);
    await fill(store, 500);
    await store.close();
    await backUp(file, target, quiet);
    const before = readFileSync(file);
    corruptPage(target);
    expect(() => restore(target, file, true, quiet)).to.throw(/backup .* is damaged.*Nothing was changed/);
    writeFileSync(target, 'no database'.repeat(1000));
    expect(() => restore(target, file, true, quiet)).to.throw(/is damaged/);
    rmSync(target);
    new Database(target).exec('CREATE TABLE other (x)').close();
    expect(() => restore(target, file, true, quiet)).to.throw(/not a Copse store/);
    expect(readFileSync(file).equals(before)).to.equal(true);
    expect(files()).to.deep.equal(['backup.sqlite', 'copse.sqlite']);
  });

  it('takes the place of a damaged store', async () => {
    const store = new SqliteStore(file, collections);
    await fill(store, 500);
    await backUp(file, target, quiet);
    await store.close();
    corruptPage(file);
    expect(() => new SqliteStore(file, collections)).to.throw(/is damaged .*copse restore BACKUP --force/);
    restore(target, file, true, quiet);
    expect(await counted(file)).to.equal(500);
  });

  for (const open of [false, true]) {
    it(`makes compaction give space back, ${open ? 'also while the file is open' : 'all of it'}`, async () => {
      const store = new SqliteStore(file, collections);
      await fill(store, 5000);
      for (;;) {
        const page = await store.page(instances, { order: 'id', limit: 500 });
        if (page.length === 0) break;
        await store.write(page.map((one) => remove(instances, one)));
      }
      if (!open) await store.close();
      const before = pages(file);
      expect(await compact(file, quiet)).to.deep.equal({ rewritten: !open });
      expect(pages(file)).to.be.below(before * 0.75);
      if (open) await store.close();
      expect(await counted(file)).to.equal(0);
    }).timeout(20_000);
  }

  it('is not needed for the store’s own tidying, which gives empty pages back in steps', async () => {
    const store = new SqliteStore(file, collections);
    await fill(store, 4000);
    for (;;) {
      const page = await store.page(instances, { order: 'id', limit: 500 });
      if (page.length === 0) break;
      await store.write(page.map((one) => remove(instances, one)));
    }
    const before = pages(file);
    await store.tidy();
    // With the pages that kept account of them.
    expect(before - pages(file)).to.be.within(500, 505);
    await store.close();
  }).timeout(20_000);
});

function pages(file: string): number {
  const database = new Database(file, { readonly: true });
  const count = database.pragma('page_count', { simple: true }) as number;
  database.close();
  return count;
}
