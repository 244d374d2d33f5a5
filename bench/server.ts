/** The store that a bench is asked to run on. */
import { MongoServer } from '../test/support/mongo.js';

/** Servers of the tests, which `npm run bench` installs. */
const servers = { documentdb: 'DocumentDB', secantusdb: 'SecantusDB' } as const;

export interface BenchStore {
  /** None for SQLite. */
  address: string | undefined;
  title: string;
  /** It is a server of the tests, which starts empty and answers slower than SQLite. */
  own: boolean;
  close: () => Promise<void>;
}

/** A server of this name, with durable writes; else the store of that address. */
export async function benchStore(given: string | undefined): Promise<BenchStore> {
  if (given === 'documentdb' || given === 'secantusdb') {
    const server = await new MongoServer(given, { durable: true }).start();
    const address = `${server.address}/bench`;
    return { address, title: servers[given], own: true, close: () => server.clear() };
  }
  const title = given === undefined || given.startsWith('sqlite:') ? 'SQLite' : 'MongoDB-compatible';
  return { address: given, title, own: false, close: () => Promise.resolve() };
}
