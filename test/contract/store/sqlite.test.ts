import { rm } from 'node:fs/promises';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { schemaVersion } from '../../../src/data/store/sqlite/layout.js';
import { SqliteStore } from '../../../src/data/store/sqlite/sqlite.js';
import { failureOf } from '../../support/eventually.js';
import { collections as real } from '../../../src/data/connector.js';
import { instances } from '../../../src/data/instance.js';
import { type CollectionSpec, insert, replace } from '../../../src/data/store/port.js';
import { pageSql } from '../../../src/data/store/sqlite/tables.js';
import { collections, type StoreFixture, type Thing, thing, things } from './bench.js';
import { changeContract } from './changes.js';
import { contentionContract } from './contention.js';
import { edgeContract } from './edges.js';
import { lastingContract } from './lasting.js';
import { documentContract } from './documents.js';
import { migrationContract } from './migrations.js';
import { pageContract } from './pages.js';

function memoryFixture(): StoreFixture {
  return {
    open: () => Promise.resolve(new SqliteStore(':memory:', collections)),
    clear: () => Promise.resolve(),
  };
}

function fileFixture(): StoreFixture {
  const folder = mkdtempSync(join(tmpdir(), 'copse-store-'));
  return {
    open: () => Promise.resolve(new SqliteStore(join(folder, 'store.sqlite'), collections)),
    clear: () => rm(folder, { recursive: true, force: true }),
  };
}

for (const [name, makeFixture, lasting] of [
  ['SQLite in memory', memoryFixture, false],
  ['SQLite in a file', fileFixture, true],
] as const) {
  describe(`the store contract: ${name}`, () => {
    documentContract(makeFixture);
    pageContract(makeFixture);
    contentionContract(makeFixture);
    changeContract(makeFixture);
    edgeContract(makeFixture);
    if (!lasting) return;
    lastingContract(makeFixture);
    migrationContract(makeFixture);
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
      new RegExp(`layout ${schemaVersion + 1}.*supports ${schemaVersion}.*newer version`),
    );
    const after = new Database(file, { readonly: true });
    expect(after.pragma('user_version', { simple: true })).to.equal(schemaVersion + 1);
    expect(after.prepare('SELECT count(*) FROM sqlite_master').pluck().get()).to.equal(0);
    after.close();
    expect(statSync(file).size).to.equal(before);
  });

  it('that another process keeps for itself too long is a reason to come back later, and then works', async () => {
    const file = join(folder, 'store.sqlite');
    const store = new SqliteStore(file, collections);
    await store.write([insert(things, 'a', thing())]);
    const rival = new Database(file);
    rival.exec('BEGIN IMMEDIATE');
    const refusal = await failureOf(store.write([insert(things, 'b', thing({ name: 'b' }))]));
    expect(refusal).to.include({ code: 'store_unavailable', status: 503, retryable: true });
    expect((refusal.cause as { code: string }).code).to.equal('SQLITE_BUSY');
    expect((await store.get(things, 'a'))?.id, 'reads go on').to.equal('a');
    rival.exec('ROLLBACK');
    rival.close();
    await store.write([insert(things, 'b', thing({ name: 'b' }))]);
    expect(await store.count(things, {})).to.equal(2);
    await store.close();
  }).timeout(20_000);

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

  it('answers every order without a filter from an index, without sorting, and has an index for each other order', () => {
    const file = join(folder, 'store.sqlite');
    const declared = [...collections.filter(({ name }) => name !== 'schema'), ...real];
    void new SqliteStore(file, declared).close();
    const database = new Database(file, { readonly: true });
    const planOf = (sql: string, values: number[]) =>
      (database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values) as { detail: string }[])
        .map((step) => step.detail)
        .join(' | ');
    let tried = 0;
    for (const { name, orders, filteredOrders = [], indexes = [], sparse = [] } of declared) {
      for (const [order, fields] of Object.entries(orders)) {
        const by = [...fields, 'id'].map((column) => `"${column}"`).join(', ');
        const filters = indexes
          .filter((index) => index.slice(-fields.length).join() === fields.join())
          .map((index) => index.slice(0, -fields.length));
        const wanted = filteredOrders.includes(order) ? filters : [[]];
        expect(wanted, `${name}.${order}`).not.to.be.empty;
        for (const columns of wanted) {
          const spans = fields.filter((field) => sparse.includes(field)).map((field) => `"${field}" >= ?`);
          const where = [...columns.map((column) => `"${column}" = 'x'`), ...spans].join(' AND ');
          const plan = planOf(
            `SELECT "id" FROM "${name}" ${where === '' ? '' : `WHERE ${where}`} ORDER BY ${by} LIMIT 10`,
            spans.map(() => 1),
          );
          expect(plan, `${name}.${order}`).to.include('INDEX').and.not.to.include('TEMP B-TREE');
          tried += 1;
        }
      }
    }
    expect(tried).to.be.at.least(declared.length);
    database.close();
  });

  it('leads every page of one item, in the order of ids, from the position on', () => {
    const file = join(folder, 'store.sqlite');
    void new SqliteStore(file, collections).close();
    const database = new Database(file, { readonly: true });
    const query = { order: 'id', has: { tags: ['red', 'blue'] }, filter: { group_id: ['g'] }, after: ['a'] };
    const { sql, values } = pageSql(things, { ...query, limit: 10 }, ['id']);
    const plan = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values) as { detail: string }[];
    expect(plan[0]?.detail).to.equal('SEARCH member USING PRIMARY KEY (item=? AND id>?)');
    expect(plan.map((step) => step.detail).join(' | ')).not.to.include('TEMP B-TREE');
    database.close();
  });

  it('reads a page for several values of a column from the position on for each, and sorts no more than these', async () => {
    const file = join(folder, 'store.sqlite');
    const store = new SqliteStore(file, collections);
    await store.write(
      Array.from({ length: 300 }, (_, index) =>
        insert(things, `id-${index}`, thing({ group: `g${index % 3}`, name: `n${index}`, rank: index })),
      ),
    );
    await store.close();
    const database = new Database(file, { readonly: true });
    const query = { order: 'rank', filter: { group_id: ['g1', 'g2', 'g1'] }, after: [100, 'id-100'] };
    const { sql, values } = pageSql(things, { ...query, limit: 4 }, ['id']);
    const plan = (database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values) as { detail: string }[]).map(
      (step) => step.detail,
    );
    expect(
      plan.some((step) => /INDEX things_by_group_id_rank \(group_id=\? AND \(?rank/.test(step)),
      plan.join(' | '),
    ).to.equal(true);
    expect(
      database
        .prepare(sql)
        .pluck()
        .all(...values),
    ).to.deep.equal(['id-101', 'id-103', 'id-104', 'id-106']);
    database.close();
  });

  it('leads a page of instances from its position on by an index of its order, and sorts nothing', () => {
    const file = join(folder, 'store.sqlite');
    void new SqliteStore(file, real).close();
    const database = new Database(file, { readonly: true });
    const after = { creationTime: ['i'], name: ['n', 'i'], modifiedTime: [1, 'i'] };
    const anywhere = [{}, { project_id: ['p'] }];
    const byCreation = [
      { flavor_id: ['f'] },
      { image_id: ['m'], project_id: ['p'] },
      { power_state: ['Running'] },
    ];
    for (const [order, position] of Object.entries(after)) {
      for (const filter of order === 'creationTime' ? [...anywhere, ...byCreation] : anywhere) {
        for (const descending of [false, true]) {
          const query = { order, filter, after: position, descending, limit: 10 };
          const { sql, values } = pageSql(instances, query, ['id']);
          const steps = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values) as { detail: string }[];
          const plan = steps.map((step) => step.detail).join(' | ');
          // Names are unique in a project, so there is nothing to sort among equal ones.
          expect(plan, sql).to.include('SEARCH').and.not.to.include('TEMP B-TREE FOR ORDER BY');
        }
      }
    }
    database.close();
  });

  it('gains columns, sets and indexes that a newer program declares, and loses indexes that it gave up', async () => {
    const file = join(folder, 'store.sqlite');
    const older = {
      ...things,
      columns: { group_id: 'text', name: 'text' },
      unique: {},
      orders: { id: [], name: ['name'] },
      indexes: [],
    } as CollectionSpec<Thing>;
    const first = new SqliteStore(file, [older]);
    await first.write([insert(older, 'a', thing({ name: 'x', rank: 7, tags: ['red'] }))]);
    await first.close();
    const second = new SqliteStore(file, collections);
    const found = await second.get(things, 'a');
    if (found === undefined) throw new Error('not there');
    await second.write([{ ...replace(things, found, found.value), keepRevision: true }]);
    expect(await second.count(things, { filter: { rank: 7 }, has: { tags: ['red'] } })).to.equal(1);
    expect((await second.get(things, 'a'))?.revision).to.equal(1);
    await second.close();
    const database = new Database(file, { readonly: true });
    const indexes = database
      .prepare(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'things' AND sql IS NOT NULL",
      )
      .pluck()
      .all() as string[];
    database.close();
    expect(indexes.sort()).to.deep.equal([
      'things_by_group_id_rank',
      'things_by_rank',
      'things_unique_name',
      'things_unique_serial',
    ]);
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
