/** What the MongoDB store does with what a dead process left, with late processes, and with servers it cannot reach. */
import { expect } from 'chai';
import { type Db, MongoClient } from 'mongodb';
import { shownAddress } from '../../../../src/data/store/mongo/connection.js';
import { indexesOf, type StoredDocument } from '../../../../src/data/store/mongo/documents.js';
import { type Entry, entryId, type Step } from '../../../../src/data/store/mongo/entry.js';
import { journalName } from '../../../../src/data/store/mongo/journal.js';
import { MongoStore } from '../../../../src/data/store/mongo/mongo.js';
import { pageOf } from '../../../../src/data/store/mongo/queries.js';
import { takeSteps } from '../../../../src/data/store/mongo/steps.js';
import { type CollectionSpec, insert, remove } from '../../../../src/data/store/port.js';
import { collections, counters, things } from '../../../contract/store/bench.js';
import { failureOf } from '../../../support/eventually.js';
import { dropDatabase, freshDatabase, mongoMissing } from '../../../support/mongo.js';
import { asked } from '../../../support/mongo-program.js';

describe('the journal of the MongoDB store', function () {
  this.timeout(60_000);
  let address: string;
  let client: MongoClient;
  let db: Db;
  let store: MongoStore;

  before(function () {
    const missing = mongoMissing();
    if (missing === undefined) return;
    process.stdout.write(`!!! SKIPPED, the journal on MongoDB: ${missing}\n`);
    this.skip();
  });
  beforeEach(async () => {
    address = await freshDatabase();
    client = new MongoClient(address);
    db = client.db();
    store = await MongoStore.open(address, collections, { transactions: 'never' });
  });
  afterEach(async () => {
    await store.close();
    await client.close();
    await dropDatabase(address);
  });

  /** As a process does that is killed between its commit and the first step. */
  const committed = async (number: number, steps: Step[]) => {
    const entry: Entry = {
      _id: entryId(number),
      token: 'of a process that is no more',
      time: Date.now(),
      applied: false,
      last: 0,
      steps,
      changes: [],
    };
    await db.collection<Entry>(journalName).insertOne(entry);
  };
  const version = (id: string, revision: number, stamp: string, count: number): StoredDocument => {
    return { _id: id, revision, stamp, value: JSON.stringify({ count }), public: null };
  };
  const steps: Step[] = [
    { collection: 'counters', id: 'b', from: null, to: version('b', 1, '2.0', 7) },
    { collection: 'counters', id: 'a', from: '1.0', to: version('a', 2, '2.1', 5) },
  ];

  it('completes what a dead process has committed, before the next write', async () => {
    await store.write([insert(counters, 'a', { count: 1 })]);
    await committed(2, steps);
    await store.write([insert(counters, 'c', { count: 3 })]);
    expect(await store.get(counters, 'a')).to.deep.equal({ id: 'a', revision: 2, value: { count: 5 } });
    expect(await store.get(counters, 'b')).to.deep.equal({ id: 'b', revision: 1, value: { count: 7 } });
  });

  it('completes it for a reader who has met a part of it, and for whoever opens the store', async () => {
    await store.write([insert(counters, 'a', { count: 1 })]);
    await committed(2, steps);
    await takeSteps(db.collection('counters'), steps.slice(0, 1));
    expect((await store.get(counters, 'b'))?.value).to.deep.equal({ count: 7 });
    expect((await store.get(counters, 'a'))?.value).to.deep.equal({ count: 5 });
    await committed(3, [{ collection: 'counters', id: 'a', from: '2.1', to: version('a', 3, '3.0', 6) }]);
    const other = await MongoStore.open(address, collections, { transactions: 'never' });
    expect((await other.get(counters, 'a'))?.value).to.deep.equal({ count: 6 });
    await other.close();
  });

  it('completes it for a reader who has met a removal that is a part of it', async () => {
    await store.write([insert(counters, 'a', { count: 1 }), insert(counters, 'b', { count: 2 })]);
    const batch: Step[] = [
      { collection: 'counters', id: 'b', from: '1.1', to: { _id: 'b', revision: 0, stamp: '2.0', since: 1 } },
      { collection: 'counters', id: 'a', from: '1.0', to: version('a', 2, '2.1', 5) },
    ];
    await committed(2, batch);
    await takeSteps(db.collection('counters'), batch.slice(0, 1));
    expect(await store.get(counters, 'b')).to.be.undefined;
    const raw = await db.collection<StoredDocument>('counters').findOne({ _id: 'a' });
    expect(raw?.stamp).to.equal('2.1');
  });

  it('is not disturbed by a process that applies an old entry late', async () => {
    await store.write([insert(counters, 'a', { count: 1 })]);
    await committed(2, steps);
    await store.write([insert(counters, 'c', { count: 3 })]);
    const [a, b] = [await store.get(counters, 'a'), await store.get(counters, 'b')];
    if (a === undefined || b === undefined) throw new Error('they are not there');
    await store.write([remove(counters, b), { ...insert(counters, 'd', { count: 1 }) }]);
    await takeSteps(db.collection('counters'), steps);
    expect(await store.get(counters, 'b')).to.be.undefined;
    expect(await store.get(counters, 'a')).to.deep.equal(a);
    await store.write([insert(counters, 'b', { count: 9 })]);
    await takeSteps(db.collection('counters'), steps);
    expect(await store.get(counters, 'b')).to.deep.equal({ id: 'b', revision: 1, value: { count: 9 } });
  });

  it('has an index for every unique key, order, filter and set', async () => {
    for (const collection of collections.filter((one) => indexesOf(one).length > 0)) {
      const found = (await db.collection(collection.name).listIndexes().toArray()) as unknown[];
      for (const { name, fields, unique } of indexesOf(collection)) {
        const index = found.find((one) => (one as { name: string }).name === name);
        expect(index, `${collection.name} ${name}`).to.deep.include({ key: fields });
        expect((index as { unique?: boolean }).unique ?? false).to.equal(unique);
      }
    }
    expect(indexesOf(things as CollectionSpec<never>).map(({ name }) => name)).to.include.members([
      'unique_k_name',
      'by_o_rank',
      'by_c_group_id_o_rank',
      'by_c_tags',
    ]);
  });

  it('answers pages from an index without sorting, as explain shows', async function () {
    if (asked === 'secantusdb') {
      process.stdout.write('!!! SKIPPED: this server sorts beside an index all the same\n');
      this.skip();
    }
    const { filter, sort } = pageOf(things, {
      order: 'rank',
      filter: { group_id: 'g' },
      after: [1, 'a'],
      limit: 10,
    });
    const plan = await db
      .collection<StoredDocument>('things')
      .find(filter)
      .sort(sort)
      .explain('queryPlanner');
    const { winningPlan, Plan } = (plan as { queryPlanner: { winningPlan?: unknown; Plan?: unknown } })
      .queryPlanner;
    // FerretDB 2 shows the plan of PostgreSQL.
    if (Plan === undefined)
      expect(JSON.stringify(winningPlan)).to.include('IXSCAN').and.not.to.include('"SORT"');
    else expect(JSON.stringify(Plan)).to.include('"Index Scan"').and.not.to.include('"Sort"');
  });
});

describe('the address of a MongoDB store', () => {
  it('is shown without name, password and options', () => {
    expect(shownAddress('mongodb://me:s3cret@one:1,two:2/copse?tls=true&x=s3cret')).to.equal(
      'mongodb://one:1,two:2/copse',
    );
    expect(shownAddress('mongodb+srv://me:s3cret@site.example')).to.equal('mongodb+srv://site.example');
    expect(shownAddress('mongodb://me:p@ss/w?rd@host/x')).not.to.match(/p@ss|rd@/);
  });

  it('where nobody answers ends the start with the address, the reason and what to do, and no password', async () => {
    const address = 'mongodb://me:s3cret@127.0.0.1:1/copse?serverSelectionTimeoutMS=300';
    const { name, message } = await failureOf(MongoStore.open(address, collections));
    expect(name).to.equal('StoreUnreachable');
    expect(message)
      .to.include('mongodb://127.0.0.1:1/copse')
      .and.to.include('ECONNREFUSED')
      .and.to.include('COPSE_STORE')
      .and.not.to.include('s3cret');
  });
});
