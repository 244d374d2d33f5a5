/** What a program finds that another one has made: indexes, and a schema that it does not know. */
import { expect } from 'chai';
import { type Db, MongoClient } from 'mongodb';
import { collections as real } from '../../../../src/data/connector.js';
import { currentSchema } from '../../../../src/data/migration/index.js';
import { schema, schemaId } from '../../../../src/data/migration/schema.js';
import { MongoStore } from '../../../../src/data/store/mongo/mongo.js';
import { takeSteps } from '../../../../src/data/store/mongo/steps.js';
import { type CollectionSpec, insert, replace } from '../../../../src/data/store/port.js';
import { openStore } from '../../../../src/site/stores.js';
import { collections, type Thing, thing, things } from '../../../contract/store/bench.js';
import { failureOf } from '../../../support/eventually.js';
import { dropDatabase, freshDatabase, mongoMissing } from '../../../support/mongo.js';

describe('a MongoDB store of another program', function () {
  this.timeout(60_000);
  let address: string;
  let client: MongoClient;
  let db: Db;

  before(function () {
    const missing = mongoMissing();
    if (missing === undefined) return;
    process.stdout.write(`!!! SKIPPED, layouts on MongoDB: ${missing}\n`);
    this.skip();
  });
  beforeEach(async () => {
    address = await freshDatabase();
    client = new MongoClient(address);
    db = client.db();
  });
  afterEach(async () => {
    await client.close();
    await dropDatabase(address);
  });

  const older = {
    ...things,
    columns: { group_id: 'text', name: 'text' },
    unique: { group: ['group_id'] },
    orders: { id: [], name: ['name'] },
    indexes: [],
  } as CollectionSpec<Thing>;

  const indexes = async () => {
    const all = (await db.collection('things').listIndexes().toArray()) as { name: string }[];
    return all.map(({ name }) => name).sort();
  };

  it('gains columns, sets and indexes that a newer program declares, and loses indexes that it gave up', async () => {
    const first = await MongoStore.open(address, [older]);
    await first.write([
      insert(older, 'a', thing({ name: 'x', rank: 7, tags: ['red'] })),
      insert(older, 'b', thing({ name: 'y', group: 'h' })),
    ]);
    await first.close();
    await db.collection('things').createIndexes([{ key: { c_name: 1 }, name: 'of_the_operator' }]);
    expect(await indexes()).to.include.members(['by_o_name', 'unique_k_group']);
    const second = await MongoStore.open(address, collections);
    try {
      for (const found of await second.page(things, { order: 'id', limit: 10 }))
        await second.write([{ ...replace(things, found, found.value), keepRevision: true }]);
      expect(await second.count(things, { filter: { rank: 7 }, has: { tags: ['red'] } })).to.equal(1);
      expect((await second.get(things, 'a'))?.revision).to.equal(1);
      expect(await indexes()).to.deep.equal([
        '_id_',
        'by_c_group_id_o_rank',
        'by_c_tags',
        'by_o_group',
        'by_o_rank',
        'by_since',
        'of_the_operator',
        'unique_k_name',
        'unique_k_serial',
      ]);
      await second.write(['c', 'd'].map((id) => insert(things, id, thing({ name: id }))));
      expect(await second.count(things, {})).to.equal(4);
    } finally {
      await second.close();
    }
  });

  it('of a newer schema is refused with both versions, and nothing is changed: no index, no collection', async () => {
    const newer = await MongoStore.open(address, [schema]);
    await newer.write([insert(schema, schemaId, { version: currentSchema + 1 })]);
    await newer.close();
    const before = (await db.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name);
    const failure = await failureOf(openStore(address, '', real));
    expect(failure.name).to.equal('SchemaError');
    expect(failure.message).to.match(
      new RegExp(`schema ${currentSchema + 1}; this version supports ${currentSchema}. Nothing was changed`),
    );
    const after = (await db.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name);
    expect(after.sort()).to.deep.equal(before.sort());
  });

  it('loses no document to an index that is not ours: the write fails, and says what is in the way', async () => {
    const documents = db.collection<{ _id: string; revision: number; stamp: string; foreign: string }>(
      'other',
    );
    await documents.createIndexes([{ key: { foreign: 1 }, name: 'foreign', unique: true }]);
    const step = (id: string) => {
      return {
        collection: 'other',
        id,
        from: null,
        to: { _id: id, revision: 1, stamp: '1.0', foreign: 'x' },
      };
    };
    const others = db.collection<ReturnType<typeof step>['to']>('other') as never;
    await takeSteps(others, [step('a')]);
    await takeSteps(others, [step('a')]);
    const failure = await failureOf(takeSteps(others, [step('a'), step('b')]));
    expect(failure.message).to.match(/index of other that Copse did not create rejects b/);
  });
});
