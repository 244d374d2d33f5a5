/** The connection to a MongoDB-compatible server: its options and how it is opened. */
import { MongoClient, type MongoClientOptions } from 'mongodb';
import { mendDriver } from './driver.js';

export const defaultDatabase = 'copse';

/** The store cannot be opened; the message says where and what to do, without any secret. */
export class StoreUnreachable extends Error {
  override readonly name = 'StoreUnreachable';
}

/** Milliseconds, unless the address overrides them. */
const limits = {
  serverSelectionTimeoutMS: 5000,
  connectTimeoutMS: 5000,
  socketTimeoutMS: 10_000,
  waitQueueTimeoutMS: 5000,
  heartbeatFrequencyMS: 2000,
} satisfies MongoClientOptions;

/** Options that the store's guarantees depend on. */
const guarantees: MongoClientOptions = {
  readConcern: { level: 'majority' },
  readPreference: 'primary',
  retryReads: true,
};

/** Options of the connection string that would override them; the driver would let some of them win. Lower-case. */
const notHeeded = new Set([
  'w',
  'j',
  'journal',
  'fsync',
  'writeconcern',
  'readconcern',
  'readconcernlevel',
  'readpreference',
  'readpreferencetags',
  'maxstalenessseconds',
  'retryreads',
]);

/** The address in a form that may be shown: without user name, password and options, any of which may be secret. */
export function shownAddress(address: string): string {
  const match = /^(mongodb(?:\+srv)?:\/\/)(?:[^/?#]*@)?([^/?#@]*)(\/[^?#]*)?/.exec(address);
  return match === null ? 'mongodb://…' : `${match[1] ?? ''}${match[2] ?? ''}${match[3] ?? ''}`;
}

/** Name of the database in the address. */
function databaseOf(address: string): string {
  const name = /^mongodb(?:\+srv)?:\/\/[^/]*\/([^?#]+)/.exec(address)?.[1];
  return name === undefined ? defaultDatabase : decodeURIComponent(name);
}

/** The address without the options that are ignored, and the names of the ignored ones. Names are case-insensitive. */
function heeded(address: string): { address: string; given: ReadonlySet<string> } {
  const [before = '', ...rest] = address.split('?');
  const nameOf = (option: string) => decoded(option.split('=')[0] ?? '').toLowerCase();
  const options = rest
    .join('?')
    .split('&')
    .filter((option) => option !== '' && !notHeeded.has(nameOf(option)));
  const given = new Set(options.map(nameOf));
  return { address: options.length === 0 ? before : `${before}?${options.join('&')}`, given };
}

/** A client with the options that docs/store-mongodb.md promises, not connected yet. */
export function clientFor(given: string): MongoClient {
  mendDriver();
  const { address, given: names } = heeded(given);
  const chosen = Object.entries({ appName: 'copse', retryWrites: true, ...limits });
  const wait = names.has('wtimeoutms') || names.has('wtimeout') ? {} : { wtimeoutMS: limits.socketTimeoutMS };
  return new MongoClient(address, {
    ignoreUndefined: false,
    ...(Object.fromEntries(chosen.filter(([name]) => !names.has(name.toLowerCase()))) as Partial<
      typeof limits
    >),
    writeConcern: { w: 'majority', ...wait },
    ...guarantees,
  });
}

export interface Connection {
  client: MongoClient;
  database: string;
}

/** Connects, or rejects with StoreUnreachable. */
export async function connect(address: string): Promise<Connection> {
  let client: MongoClient | undefined;
  try {
    client = clientFor(address);
    await client.connect();
    await client.db('admin').command({ ping: 1 });
    return { client, database: databaseOf(address) };
  } catch (error) {
    await client?.close().catch(() => undefined);
    throw unreachable(address, error);
  }
}

/** Throws if it is not a connection string, without anything that may be secret. Does not connect. */
export function assertAddress(address: string): void {
  try {
    clientFor(address).db(databaseOf(address));
  } catch (error) {
    throw new Error(
      `${shownAddress(address)} is not a valid connection string: ${withoutSecrets(error, address)}`,
    );
  }
}

/** Why the store cannot be opened, and what to check. */
export function unreachable(address: string, error: unknown): StoreUnreachable {
  return new StoreUnreachable(
    `The store ${shownAddress(address)} cannot be opened: ${withoutSecrets(error, address)}. ` +
      'Check that the server is running and reachable from here, and check the user name and password in COPSE_STORE.',
  );
}

/** A driver's message, unless it repeats a part of the address that may be secret. */
function withoutSecrets(error: unknown, address: string): string {
  const text = error instanceof Error ? error.message : 'unknown error';
  const secret = /^[^/]*\/\/(?:([^/?#]*)@)?/.exec(address)?.[1];
  const parts = (secret ?? '').split(':').flatMap((part) => [part, decoded(part)]);
  return parts.some((part) => part !== '' && text.includes(part)) ? 'the server refused it' : text;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
