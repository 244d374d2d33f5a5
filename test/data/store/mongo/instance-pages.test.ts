/** Pages of instances on MongoDB: each is one range of the index of its order. */
import { expect } from 'chai';
import { MongoClient } from 'mongodb';
import { instances } from '../../../../src/data/instance.js';
import { schema } from '../../../../src/data/migration/schema.js';
import type { StoredDocument } from '../../../../src/data/store/mongo/documents.js';
import { MongoStore } from '../../../../src/data/store/mongo/mongo.js';
import { pageOf } from '../../../../src/data/store/mongo/queries.js';
import type { PageQuery } from '../../../../src/data/store/port.js';
import { dropDatabase, freshDatabase, mongoMissing } from '../../../support/mongo.js';
import { asked } from '../../../support/mongo-program.js';

describe('a page of instances on MongoDB', function () {
  this.timeout(60_000);
  let address: string;
  let client: MongoClient;

  before(async function () {
    const missing = mongoMissing() ?? (asked === 'secantusdb' ? 'this server sorts all the same' : undefined);
    if (missing !== undefined) {
      process.stdout.write(`!!! SKIPPED, pages of instances on MongoDB: ${missing}\n`);
      this.skip();
    }
    address = await freshDatabase();
    await (await MongoStore.open(address, [schema, instances], { transactions: 'never' })).close();
    client = new MongoClient(address);
  });
  after(async () => {
    await client.close();
    await dropDatabase(address);
  });

  const planOf = async (query: PageQuery): Promise<string> => {
    const { filter, sort } = pageOf(instances, query);
    const found = client.db().collection<StoredDocument>('instances').find(filter).sort(sort).limit(10);
    const { queryPlanner } = (await found.explain('queryPlanner')) as {
      queryPlanner: { winningPlan?: unknown; Plan?: unknown };
    };
    // FerretDB 2 shows the plan of PostgreSQL.
    return JSON.stringify(queryPlanner.Plan ?? queryPlanner.winningPlan);
  };

  // Without a filter, FerretDB 2 scans and sorts as long as the collection is empty.
  it('of a project is answered from an index without sorting, in each order and direction, as explain shows', async () => {
    const after = { creationTime: ['i'], name: ['n', 'i'], modifiedTime: [1, 'i'] };
    for (const [order, position] of Object.entries(after)) {
      for (const descending of [false, true]) {
        const query = { order, filter: { project_id: 'p' }, after: position, descending, limit: 10 };
        expect(await planOf(query), order)
          .to.match(/IXSCAN|Index Scan/)
          .and.not.to.match(/"S(ORT|ort)"/);
      }
    }
  });
});
