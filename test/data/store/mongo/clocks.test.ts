/** Two processes on one MongoDB store whose clocks do not agree: nothing that was written may be lost. */
import { expect } from 'chai';
import { type Db, MongoClient } from 'mongodb';
import { Clock } from '../../../../src/data/store/mongo/clock.js';
import { type Entry, entryId } from '../../../../src/data/store/mongo/entry.js';
import { Journal, journalName } from '../../../../src/data/store/mongo/journal.js';
import { GroupCommit } from '../../../../src/data/store/mongo/group-commit.js';
import { MongoStore } from '../../../../src/data/store/mongo/mongo.js';
import { Sweeper } from '../../../../src/data/store/mongo/sweeper.js';
import { TransactionRunner } from '../../../../src/data/store/mongo/transaction.js';
import { insert, remove, type Store } from '../../../../src/data/store/port.js';
import { collections, counters, increment, thing, things } from '../../../contract/store/bench.js';
import { dropDatabase, freshDatabase, mongoMissing } from '../../../support/mongo.js';

const hour = 3_600_000;
const ahead = () => Date.now() + 2 * hour;

describe('processes on a MongoDB store whose clocks do not agree', function () {
  this.timeout(60_000);
  let address: string;
  let client: MongoClient;
  let db: Db;
  let right: MongoStore;
  let wrong: MongoStore;
  let now: () => number;

  before(function () {
    const missing = mongoMissing();
    if (missing === undefined) return;
    process.stdout.write(`!!! SKIPPED, clocks on MongoDB: ${missing}\n`);
    this.skip();
  });
  beforeEach(async () => {
    now = Date.now;
    address = await freshDatabase();
    client = new MongoClient(address);
    db = client.db();
    right = await MongoStore.open(address, collections, { transactions: 'never', clock: () => now() });
    wrong = await MongoStore.open(address, collections, {
      transactions: 'never',
      clock: () => now() + 2 * hour,
    });
  });
  afterEach(async () => {
    await right.close();
    await wrong.close();
    await client.close();
    await dropDatabase(address);
  });

  const write = (store: Store, name: string) => store.write([insert(things, name, thing({ name }))]);

  /** Names in the change log, which each must be in once, at positions that grow. */
  async function told(store: Store): Promise<string[]> {
    const { changes } = await store.changes({ after: 0, limit: 1000 });
    return changes.map(({ id }) => id);
  }

  async function writeFromBoth(names: string[]): Promise<void> {
    const increments = Array.from({ length: 10 }, (_, at) => increment(at % 2 === 0 ? right : wrong, 'c'));
    await Promise.all([write(right, 'of the one'), write(wrong, 'of the other'), ...increments]);
    expect((await right.get(counters, 'c'))?.value.count).to.equal(10);
    for (const store of [right, wrong])
      expect((await told(store)).sort()).to.deep.equal([...names, 'of the one', 'of the other'].sort());
  }

  /** Six entries, of which the first process has seen three. */
  async function seed(): Promise<string[]> {
    await right.write([insert(counters, 'c', { count: 0 })]);
    const other = await MongoStore.open(address, collections, { transactions: 'never' });
    const names = ['a', 'b', 'c', 'd', 'e'];
    for (const name of names) await write(name < 'c' ? right : other, name);
    await other.close();
    return names;
  }

  it('lose nothing when the one that is hours ahead tidies', async () => {
    const names = await seed();
    await new Journal(db, undefined, new Clock(ahead)).trim();
    await writeFromBoth(names);
  });

  it('lose nothing when entries that one of them has not seen were dropped', async () => {
    const names = await seed();
    const entries = db.collection<Entry>(journalName);
    await entries.deleteMany({ _id: { $lt: entryId(6) } });
    // Both clocks jump, so that what was known a moment ago counts as old, but not as too old to go on from.
    now = () => Date.now() + 5000;
    await writeFromBoth(names);
    const numbers = (await entries.find({}, { projection: { _id: 1 } }).toArray()).map(({ _id }) =>
      Number(_id),
    );
    expect(Math.min(...numbers), 'nothing lies beside the journal').to.equal(6);
  });

  it('clear places that one of them has seen for long enough by its own time, however many there are', async () => {
    const ids = Array.from({ length: 250 }, (_, at) => `id-${at}`);
    await right.write(ids.map((id) => insert(counters, id, { count: 1 })));
    await right.write(ids.map((id) => remove(counters, { id, revision: 1, value: { count: 1 } })));
    const places = () => db.collection('counters').countDocuments({ since: { $gt: 0 } });
    const sweeperOf = (journal: Journal) =>
      new Sweeper(db, journal, new GroupCommit(db, journal), collections);
    await sweeperOf(new Journal(db, new TransactionRunner(client))).tidy(0);
    const sweeper = sweeperOf(new Journal(db, undefined, new Clock(ahead)));
    await sweeper.tidy(60_000);
    await sweeper.tidy(0);
    expect(await places(), 'what it sees for the first time stays').to.equal(250);
    await write(right, 'a');
    await right.write([insert(counters, 'young', { count: 1 })]);
    await right.write([remove(counters, { id: 'young', revision: 1, value: { count: 1 } })]);
    await sweeper.tidy(60_000);
    expect(await places(), 'the time is not over').to.equal(251);
    await sweeper.tidy(0);
    expect(await places(), 'of the last look are left').to.equal(1);
    await right.write(ids.map((id) => insert(counters, id, { count: 2 })));
    expect(await right.count(counters, {})).to.equal(250);
  });

  it('drop entries from the first on, and never the last 10,000', async () => {
    const entry = (number: number, age: number): Entry => {
      return { _id: entryId(number), token: `${number}`, time: Date.now() - age, applied: true, last: 0 };
    };
    const entries = db.collection<Entry>(journalName);
    await entries.insertMany([
      ...[1, 2, 3].map((number) => entry(number, 2 * hour)),
      entry(4, hour / 2),
      ...[5, 6, 10_005, 10_006].map((number) => entry(number, 2 * hour)),
    ]);
    const numbers = async () =>
      (await entries.find({}, { sort: { _id: 1 } }).toArray()).map(({ _id }) => Number(_id));
    await new Journal(db, undefined).trim();
    expect(await numbers()).to.deep.equal([4, 5, 6, 10_005, 10_006]);
    await new Journal(db, undefined, new Clock(ahead)).trim();
    expect(await numbers()).to.deep.equal([6, 10_005, 10_006]);
  });
});
