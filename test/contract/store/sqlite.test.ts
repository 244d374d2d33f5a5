import { rm } from 'node:fs/promises';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { schemaVersion } from '../../../src/data/store/sqlite/layout.js';
import { SqliteStore } from '../../../src/data/store/sqlite/sqlite.js';
import { collections, type Ground } from './bench.js';
import { changeContract } from './changes.js';
import { contentionContract } from './contention.js';
import { lastingContract } from './lasting.js';
import { documentContract } from './documents.js';
import { pageContract } from './pages.js';

function memoryGround(): Ground {
  return {
    open: () => Promise.resolve(new SqliteStore(':memory:', collections)),
    clear: () => Promise.resolve(),
  };
}

function fileGround(): Ground {
  const folder = mkdtempSync(join(tmpdir(), 'copse-store-'));
  return {
    open: () => Promise.resolve(new SqliteStore(join(folder, 'store.sqlite'), collections)),
    clear: () => rm(folder, { recursive: true, force: true }),
  };
}

for (const [name, makeGround, lasting] of [
  ['SQLite in memory', memoryGround, false],
  ['SQLite in a file', fileGround, true],
] as const) {
  describe(`the store contract: ${name}`, () => {
    documentContract(makeGround);
    pageContract(makeGround);
    contentionContract(makeGround);
    changeContract(makeGround);
    if (lasting) lastingContract(makeGround);
  });
}

describe('a SQLite file', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'copse-store-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('of a newer layout is refused, with both versions and what to do, and stays as it is', () => {
    const file = join(folder, 'newer.sqlite');
    const database = new Database(file);
    database.pragma(`user_version = ${schemaVersion + 1}`);
    database.close();
    const before = statSync(file).size;
    expect(() => new SqliteStore(file, collections)).to.throw(
      new RegExp(`layout ${schemaVersion + 1}.*knows ${schemaVersion}.*newer program`),
    );
    const after = new Database(file, { readonly: true });
    expect(after.pragma('user_version', { simple: true })).to.equal(schemaVersion + 1);
    expect(after.prepare('SELECT count(*) FROM sqlite_master').pluck().get()).to.equal(0);
    after.close();
    expect(statSync(file).size).to.equal(before);
  });

  it('that is no database is refused', async () => {
    const { writeFileSync } = await import('node:fs');
    const file = join(folder, 'text.sqlite');
    writeFileSync(file, 'this is not a database, but it is long enough to look like one'.repeat(100));
    expect(() => new SqliteStore(file, collections)).to.throw(/not a database/);
  });

  it('has a write-ahead log, so that readers and the writer do not wait for each other', async () => {
    const file = join(folder, 'store.sqlite');
    const store = new SqliteStore(file, collections);
    const database = new Database(file, { readonly: true });
    expect(database.pragma('journal_mode', { simple: true })).to.equal('wal');
    database.close();
    await store.close();
  });

  it('answers every declared order from an index, without sorting', async () => {
    const file = join(folder, 'store.sqlite');
    const store = new SqliteStore(file, collections);
    await store.close();
    const database = new Database(file, { readonly: true });
    for (const columns of ['"id"', '"rank", "id"', '"group_id", "rank", "id"']) {
      const plan = database
        .prepare(`EXPLAIN QUERY PLAN SELECT "id" FROM "things" ORDER BY ${columns} LIMIT 10`)
        .all() as { detail: string }[];
      expect(plan.map((step) => step.detail).join(' | '))
        .to.include('INDEX')
        .and.not.to.include('TEMP B-TREE');
    }
    database.close();
  });

  it('gains the collections that a newer program declares', () => {
    const file = join(folder, 'store.sqlite');
    void new SqliteStore(file, []).close();
    void new SqliteStore(file, collections).close();
    const database = new Database(file, { readonly: true });
    expect(
      database.prepare("SELECT count(*) FROM sqlite_master WHERE name = 'things'").pluck().get(),
    ).to.equal(1);
    database.close();
  });
});
