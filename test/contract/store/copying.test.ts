import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collections } from '../../../src/data/connector.js';
import { MongoStore } from '../../../src/data/store/mongo/mongo.js';
import { SqliteStore } from '../../../src/data/store/sqlite/sqlite.js';
import { dropDatabase, freshDatabase, mongoMissing, stopMongo } from '../../support/mongo.js';
import { type CopyFixture, copyContract } from './copying.js';

function sqliteFixture(): CopyFixture {
  const folder = mkdtempSync(join(tmpdir(), 'copse-copy-'));
  let opened = 0;
  return {
    open: () => Promise.resolve(new SqliteStore(join(folder, `${(opened += 1)}.sqlite`), collections)),
    clear: () => rm(folder, { recursive: true, force: true }),
  };
}

function mongoFixture(): CopyFixture {
  const addresses: string[] = [];
  return {
    open: async () => {
      const address = await freshDatabase();
      addresses.push(address);
      return MongoStore.open(address, collections);
    },
    clear: async () => {
      for (const address of addresses) await dropDatabase(address);
    },
  };
}

copyContract('from SQLite to SQLite', sqliteFixture, sqliteFixture);

describe('copies with a store on MongoDB', () => {
  before(function () {
    const missing = mongoMissing();
    if (missing === undefined) return;
    process.stdout.write(`!!! SKIPPED, copies from and to MongoDB: ${missing}\n`);
    this.skip();
  });
  after(stopMongo);

  // Each insert takes some milliseconds.
  copyContract('from SQLite to MongoDB', sqliteFixture, mongoFixture, 700);
  copyContract('from MongoDB to SQLite', mongoFixture, sqliteFixture, 700);
});
