import { MongoStore } from '../../../src/data/store/mongo/mongo.js';
import { dropDatabase, freshDatabase, mongoMissing, stopMongo } from '../../support/mongo.js';
import { asked } from '../../support/mongo-program.js';
import { collections, type StoreFixture } from './bench.js';
import { changeContract } from './changes.js';
import { contentionContract } from './contention.js';
import { documentContract } from './documents.js';
import { edgeContract } from './edges.js';
import { lastingContract } from './lasting.js';
import { migrationContract } from './migrations.js';
import { pageContract } from './pages.js';

/** `transactions` as the server has them, or never, so that a replica set is tried both ways. */
function fixtureOf(transactions: 'where-possible' | 'never'): () => StoreFixture {
  return () => {
    let address: Promise<string> | undefined;
    return {
      open: async () => MongoStore.open(await (address ??= freshDatabase()), collections, { transactions }),
      clear: async () => {
        if (address !== undefined) await dropDatabase(await address);
      },
    };
  };
}

describe('the store contract: MongoDB', function () {
  this.timeout(60_000);
  before(function () {
    const missing = mongoMissing();
    if (missing === undefined) return;
    process.stdout.write(`!!! SKIPPED, the store on MongoDB: ${missing}\n`);
    this.skip();
  });
  after(stopMongo);

  for (const transactions of ['where-possible', 'never'] as const) {
    describe(`transactions ${transactions}`, () => {
      const makeFixture = fixtureOf(transactions);
      before(async function () {
        if (transactions === 'never') return;
        const fixture = makeFixture();
        const store = await fixture.open();
        const transactional = store instanceof MongoStore && store.transactional;
        await store.close();
        await fixture.clear();
        // Without transactions both ways are the same.
        if (transactional) return;
        if (asked === 'secantusdb')
          throw new Error('SecantusDB has transactions, and the store did not see them');
        process.stdout.write(
          '!!! SKIPPED, transactions: the server has none (take `--server secantusdb`, or a replica set as MONGODB_URL)\n',
        );
        this.skip();
      });
      documentContract(makeFixture);
      pageContract(makeFixture);
      contentionContract(makeFixture);
      changeContract(makeFixture);
      edgeContract(makeFixture);
      lastingContract(makeFixture);
      migrationContract(makeFixture);
    });
  }
});
