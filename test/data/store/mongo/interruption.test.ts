/** What a request that ends does to its reads on the way to MongoDB: with the request's own RequestLifetime, as in the pipeline. */
import { expect } from 'chai';
import { MongoStore } from '../../../../src/data/store/mongo/mongo.js';
import { RequestLifetime } from '../../../../src/route/pipeline/request-lifetime.js';
import { counters } from '../../../contract/store/bench.js';
import { failureOf } from '../../../support/eventually.js';
import { dropDatabase, freshDatabase, mongoMissing } from '../../../support/mongo.js';

describe('a read of the MongoDB store that is under way when its request ends', function () {
  this.timeout(60_000);
  let address: string;
  let store: MongoStore;

  before(async function () {
    const missing = mongoMissing();
    if (missing !== undefined) {
      process.stdout.write(`!!! SKIPPED, reads on MongoDB: ${missing}\n`);
      this.skip();
    }
    address = await freshDatabase();
    store = await MongoStore.open(address, [counters]);
  });
  after(async function () {
    if (mongoMissing() !== undefined) return;
    await store.close();
    await dropDatabase(address);
  });

  const reads = {
    get: (lifetime: RequestLifetime) => store.get(counters, 'a', lifetime),
    page: (lifetime: RequestLifetime) => store.page(counters, { order: 'id', limit: 1 }, lifetime),
    count: (lifetime: RequestLifetime) => store.count(counters, {}, lifetime),
  };
  for (const [name, read] of Object.entries(reads)) {
    it(`ends with the reason, and is answered while the request lives: ${name}`, async () => {
      await read(new RequestLifetime());
      const lifetime = new RequestLifetime();
      const reason = new Error('the client went away');
      const reading = failureOf(read(lifetime));
      lifetime.abort(reason);
      expect(await reading).to.equal(reason);
    });
  }
});
