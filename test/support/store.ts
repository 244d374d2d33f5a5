/**
 * The engine under test: SQLite, or MongoDB with COPSE_TEST_STORE=mongodb. A file in a test is then a database with
 * that name, which is reused as long as the test's folder is the same.
 */
import { resolve } from 'node:path';
import { collections } from '../../src/data/connector.js';
import type { CollectionSpec, Store } from '../../src/data/store/port.js';
import { openStore } from '../../src/site/stores.js';
import { dropDatabase, emptyDatabase, freshDatabase, giveBackDatabase } from './mongo.js';

export const onMongo = process.env['COPSE_TEST_STORE'] === 'mongodb';

const memory = 'sqlite::memory:';
const lasting = new Map<string, Promise<string>>();

export interface TestAddress {
  address: string;
  /** Removes what would outlive the test. */
  clear: () => Promise<void>;
}

/** Converts the test's SQLite `address` to the engine under test. `specs`: the collections that the store will have. */
export async function testAddress(
  address = memory,
  dataDir = '',
  specs: readonly CollectionSpec<never>[] = collections,
): Promise<TestAddress> {
  const nothing = () => Promise.resolve();
  if (!onMongo || !address.startsWith('sqlite:')) return { address, clear: nothing };
  if (address === memory && specs === collections) {
    const empty = await emptyDatabase();
    return { address: empty, clear: () => giveBackDatabase(empty) };
  }
  if (address === memory) {
    const fresh = await freshDatabase();
    return { address: fresh, clear: () => dropDatabase(fresh) };
  }
  const file = resolve(dataDir, address.slice('sqlite:'.length));
  const database = lasting.get(file) ?? freshDatabase();
  lasting.set(file, database);
  return { address: await database, clear: nothing };
}

/** A store of the engine under test; closing it removes it, unless it has a file's name. */
export async function openTestStore(
  specs: readonly CollectionSpec<never>[] = collections,
  name = memory,
  dataDir = '',
): Promise<Store> {
  const { address, clear } = await testAddress(name, dataDir, specs);
  const store = await openStore(address, dataDir, specs);
  return new Proxy(store, {
    get(target, name) {
      if (name === 'close')
        return async () => {
          await target.close();
          await clear();
        };
      const member: unknown = Reflect.get(target, name);
      return typeof member === 'function' ? (member.bind(target) as unknown) : member;
    },
  });
}
