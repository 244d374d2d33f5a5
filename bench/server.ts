/** The store that a bench runs on. */
import { MongoServer } from '../test/support/mongo.js';

/** Test servers that `npm run bench` installs. */
const servers = { documentdb: 'DocumentDB', secantusdb: 'SecantusDB' } as const;

export interface BenchStore {
  /** None for SQLite. */
  address: string | undefined;
  title: string;
  /** It is a test server, which starts empty and is slower than SQLite. */
  own: boolean;
  close: () => Promise<void>;
}

/** A server with this name, with durable writes; otherwise the store at that address. */
export async function benchStore(given: string | undefined): Promise<BenchStore> {
  if (given === 'documentdb' || given === 'secantusdb') {
    const server = await new MongoServer(given, { durable: true }).start();
    const address = `${server.address}/bench`;
    return { address, title: servers[given], own: true, close: () => server.clear() };
  }
  const title = given === undefined || given.startsWith('sqlite:') ? 'SQLite' : 'MongoDB-compatible';
  return { address: given, title, own: false, close: () => Promise.resolve() };
}
