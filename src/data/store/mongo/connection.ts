/** The connection to a MongoDB-compatible server: its options, its start, and what its failures mean to a request. */
import {
  MongoBulkWriteError,
  MongoClient,
  type MongoClientOptions,
  MongoError,
  MongoNetworkError,
  MongoServerError,
  MongoServerSelectionError,
} from 'mongodb';
import { ApiError } from '../../../model/error.js';

export const defaultDatabase = 'copse';

/** The store cannot be opened; the message says where and what to do, without any secret. */
export class StoreUnreachable extends Error {
  override readonly name = 'StoreUnreachable';
}

/** Milliseconds, and only where the address does not say otherwise. */
const limits = {
  serverSelectionTimeoutMS: 5000,
  connectTimeoutMS: 5000,
  socketTimeoutMS: 10_000,
  waitQueueTimeoutMS: 5000,
  heartbeatFrequencyMS: 2000,
} satisfies MongoClientOptions;

/** What the store needs for its guarantees, so that it cannot go without. */
const guarantees: MongoClientOptions = {
  readConcern: { level: 'majority' },
  readPreference: 'primary',
  retryReads: true,
};

/** Options of the connection string that would say otherwise; the driver lets some of them win. Lower-case. */
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

/** The address as it may be shown: without name, password and options, any of which may be secret. */
export function shownAddress(address: string): string {
  const match = /^(mongodb(?:\+srv)?:\/\/)(?:[^/?#]*@)?([^/?#@]*)(\/[^?#]*)?/.exec(address);
  return match === null ? 'mongodb://…' : `${match[1] ?? ''}${match[2] ?? ''}${match[3] ?? ''}`;
}

/** Name of the database that the address asks for. */
function databaseOf(address: string): string {
  const name = /^mongodb(?:\+srv)?:\/\/[^/]*\/([^?#]+)/.exec(address)?.[1];
  return name === undefined ? defaultDatabase : decodeURIComponent(name);
}

/** The address without the options that are not heeded, and the names of those that it has. Names do not heed case. */
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
  const shown = shownAddress(address);
  let client: MongoClient | undefined;
  try {
    client = clientFor(address);
    await client.connect();
    await client.db('admin').command({ ping: 1 });
    return { client, database: databaseOf(address) };
  } catch (error) {
    await client?.close().catch(() => undefined);
    throw new StoreUnreachable(
      `The store ${shown} cannot be opened: ${withoutSecrets(error, address)}. ` +
        'Check that the server runs, that it can be reached from here, and the name and password in COPSE_STORE.',
    );
  }
}

/** Throws, with nothing of the address that may be secret, when it is no connection string. Connects nowhere. */
export function assertAddress(address: string): void {
  try {
    clientFor(address).db(databaseOf(address));
  } catch (error) {
    throw new Error(`${shownAddress(address)} is no connection string: ${withoutSecrets(error, address)}`);
  }
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

/** Server error codes that mean "not now": no primary, shutting down, write concern not reached, time-outs. */
const passing = new Set([6, 7, 50, 64, 89, 91, 189, 262, 317, 358, 9001, 10107, 11600, 11602, 13435, 13436]);

const socketFailures = new Set(['EPIPE', 'ECONNRESET', 'ECONNREFUSED', 'ECONNABORTED', 'ETIMEDOUT']);

const awayClasses = new Set([
  'MongoNotConnectedError',
  'MongoServerClosedError',
  'MongoTopologyClosedError',
  'MongoClientClosedError',
  'MongoExpiredSessionError',
  'MongoWaitQueueTimeoutError',
  'MongoOperationTimeoutError',
]);

/** Whether the server is away, so that the outcome of what was asked is unknown. */
export function isAway(error: unknown): boolean {
  if (error instanceof MongoNetworkError || error instanceof MongoServerSelectionError) return true;
  // The driver passes some failures of a socket on as they are.
  if (!(error instanceof MongoError))
    return error instanceof Error && socketFailures.has((error as NodeJS.ErrnoException).code ?? '');
  if (awayClasses.has(error.name)) return true;
  // A bulk write wraps what befell its connection.
  if (error instanceof MongoBulkWriteError && isAway(error.errorResponse)) return true;
  return error instanceof MongoServerError && typeof error.code === 'number' && passing.has(error.code);
}

export function isDuplicate(error: unknown): boolean {
  if (!(error instanceof MongoServerError) || error.code !== 11_000) return false;
  if (!(error instanceof MongoBulkWriteError)) return true;
  return [error.writeErrors].flat().every(({ code }) => code === 11_000);
}

/** What a caller gets: 503 while the server is away, the error itself otherwise. */
export function failureFor(error: unknown): unknown {
  return isAway(error) ? unavailable(error) : error;
}

export function unavailable(cause?: unknown): ApiError {
  return new ApiError('store_unavailable', 'The database cannot be reached now; try again.', {
    cause,
    headers: { 'Retry-After': '2' },
  });
}
