/**
 * A MongoDB server for the tests: the one of MONGODB_URL, or one of mongo-program.ts. One for each test process, on
 * 127.0.0.1, in a folder of its own; it ends with the process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MongoClient, MongoServerError } from 'mongodb';
import { asked, mongoProgram, type ProgramName } from './mongo-program.js';
import { until } from './process.js';

/** A server chosen by name takes precedence. */
const given = asked === undefined ? (process.env['MONGODB_URL'] ?? '') : '';

/** What the suites on MongoDB lack, or undefined. */
export function mongoMissing(): string | undefined {
  if (given !== '' || mongoProgram() !== undefined) return undefined;
  if (asked !== undefined)
    return 'no SecantusDB, which npm test installs where Python 3.11 to 3.13 with venv and pip is';
  return 'no MONGODB_URL, no mongod on the PATH, and no DocumentDB, which npm test installs where apt and Go are';
}

/** What a suite lacks that stops and starts a server of its own, or undefined. */
export function ownServerMissing(): string | undefined {
  if (mongoProgram() !== undefined) return undefined;
  return given === ''
    ? mongoMissing()
    : 'the server of MONGODB_URL is not ours to stop, and there is no mongod on the PATH and no DocumentDB';
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Makes the server a replica set, if it is not one already; true once it accepts writes. */
async function isPrimary(client: MongoClient, set: string, host: string): Promise<boolean> {
  const admin = client.db('admin');
  const hello = await admin.command({ hello: 1 });
  if (hello['setName'] === undefined) {
    const config = { _id: set, members: [{ _id: 0, host }] };
    await admin.command({ replSetInitiate: config }).catch((error: unknown) => {
      // After a restart the server needs a moment to find its own configuration.
      const alreadyInitialized = 23;
      if (!(error instanceof MongoServerError) || error.code !== alreadyInitialized) throw error;
    });
  }
  return hello['isWritablePrimary'] === true;
}

/** Those that have ended in the meantime are skipped. */
function send(signal: NodeJS.Signals, ids: readonly number[]): void {
  for (const id of ids) {
    try {
      process.kill(id, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

const servers = new Set<MongoServer>();

/** A separate server process, which can be stopped, killed and started again on the same data and port. */
export class MongoServer {
  readonly #folder = mkdtempSync(join(tmpdir(), 'copse-mongo-'));
  readonly #name: ProgramName | undefined;
  readonly #durable: boolean;
  #port = 0;
  #child: ChildProcess | undefined;
  /** What was stopped behind it, and must continue before it can end. */
  #stopped: number[] = [];

  /** The program with this name; by default, that of the run. `durable` makes each write wait for the disk. */
  constructor(name?: ProgramName, { durable = false } = {}) {
    this.#name = name;
    this.#durable = durable;
  }

  get address(): string {
    return `mongodb://127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  async start(): Promise<this> {
    servers.add(this);
    if (this.#port === 0) this.#port = await freePort();
    const program = mongoProgram(this.#name);
    if (program === undefined) throw new Error(ownServerMissing());
    const { file, args, durable = [], replicaSet } = program;
    const words = [...args(this.#folder, this.#port), ...(this.#durable ? durable : [])];
    // The pipe at its standard input closes with this process, and then DocumentDB and SecantusDB exit.
    const child = spawn(file, words, { stdio: ['pipe', 'ignore', 'ignore'] });
    child.stdin.on('error', () => undefined);
    // It must not keep a test process alive that has nothing else to do.
    child.unref();
    if (child.stdin instanceof Socket) child.stdin.unref();
    this.#child = child;
    await until('the database server to answer', 60, async () => {
      if (child.exitCode !== null) throw new Error(`the database server ended with ${child.exitCode}`);
      const client = new MongoClient(this.address, { serverSelectionTimeoutMS: 500, directConnection: true });
      try {
        await client.db('admin').command({ ping: 1 });
        const host = `127.0.0.1:${this.#port}`;
        return replicaSet === undefined || (await isPrimary(client, replicaSet, host)) ? true : undefined;
      } catch {
        return undefined;
      } finally {
        await client.close();
      }
    });
    return this;
  }

  /** Whether PostgreSQL is behind it, and can become unavailable while it stays. */
  get hasDatabaseBehind(): boolean {
    return mongoProgram(this.#name)?.behind !== undefined;
  }

  /** Stops, continues or kills PostgreSQL behind it, while it stays itself. */
  signalBehind(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void {
    const file = join(this.#folder, mongoProgram(this.#name)?.behind ?? '');
    const pid = Number(readFileSync(file, 'utf8').split('\n', 1)[0]);
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    // The parent first, or it would replace the others.
    const all = [pid, ...children.filter((id) => id !== '').map(Number)];
    send(signal, all);
    if (signal === 'SIGSTOP') this.#stopped.push(...all);
    else this.#goOn();
  }

  #goOn(): void {
    send('SIGCONT', this.#stopped);
    this.#stopped = [];
  }

  /** Restarts PostgreSQL behind it after a kill. */
  async startBehind(): Promise<void> {
    this.#child?.kill('SIGUSR1');
    const client = new MongoClient(this.address, { directConnection: true });
    try {
      await until('PostgreSQL to answer', 60, () =>
        client
          .db('admin')
          .command({ listDatabases: 1 }, { timeoutMS: 5000 })
          .then(() => true)
          .catch(() => undefined),
      );
    } finally {
      await client.close();
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    this.#goOn();
    if (child.exitCode !== null || child.signalCode !== null) return;
    // Otherwise a process with nothing else to do, such as a bench at its end, would exit first, with exit code 13.
    child.ref();
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  async clear(): Promise<void> {
    await this.stop('SIGKILL');
    this.abandon();
  }

  /** At the end of the process, when nothing can be awaited any more. */
  abandon(): void {
    this.#goOn();
    this.#child?.kill('SIGKILL');
    // PostgreSQL may be about to end, and to remove files of its own.
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
    servers.delete(this);
  }
}

/** Mechanisms whose users are in no database. */
const external = /^(MONGODB-X509|MONGODB-AWS|MONGODB-OIDC|GSSAPI)$/i;

/**
 * The address with another database. Several hosts are not a valid URL for `URL`. A user in the address is still
 * authenticated against the same database: the given one, otherwise `admin`.
 */
export function databaseAddress(address: string, name: string): string {
  const parts = /^(mongodb(?:\+srv)?:\/\/)([^/?#]*@)?([^/?#@]+)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(address);
  if (parts === null) throw new Error('MONGODB_URL is no address of MongoDB');
  const [, scheme = '', user = '', hosts = '', database = '', query = ''] = parts;
  const given = query === '' ? [] : query.split('&');
  const option = (wanted: string) =>
    given.map((one) => one.split('=')).find(([key]) => key?.toLowerCase() === wanted)?.[1];
  if (user !== '' && option('authsource') === undefined && !external.test(option('authmechanism') ?? ''))
    given.push(`authSource=${database === '' ? 'admin' : database}`);
  return `${scheme}${user}${hosts}/${name}${given.length === 0 ? '' : `?${given.join('&')}`}`;
}

let shared: Promise<MongoServer> | undefined;

/** The address of a new database on the server of this test process. */
export async function freshDatabase(): Promise<string> {
  const name = `copse-test-${randomUUID()}`;
  if (given !== '') return databaseAddress(given, name);
  shared ??= new MongoServer().start();
  return `${(await shared).address}/${name}`;
}

/** Databases that tests have given back, without documents, and how often each has been used. */
const emptied: { address: string; uses: number }[] = [];
const inUse = new Map<string, number>();
/** Deleted documents take up room until the server is at leisure. */
const usesLimit = 25;

/**
 * A database without documents for Copse's own collections. An earlier test's is reused if there is one: to create all
 * collections and indexes again takes several times as long as to empty them.
 */
export async function emptyDatabase(): Promise<string> {
  const { address, uses } = emptied.pop() ?? { address: await freshDatabase(), uses: 0 };
  inUse.set(address, uses + 1);
  return address;
}

/** Empties a database of `emptyDatabase` for the next test, or removes it. */
export async function giveBackDatabase(address: string): Promise<void> {
  const uses = inUse.get(address) ?? usesLimit;
  inUse.delete(address);
  if (uses >= usesLimit) return dropDatabase(address);
  const client = new MongoClient(address);
  try {
    const all = await client.db().collections();
    await Promise.all(all.map((collection) => collection.deleteMany({})));
  } finally {
    await client.close();
  }
  emptied.push({ address, uses });
}

/** Removes a database created by `freshDatabase`. */
export async function dropDatabase(address: string): Promise<void> {
  const client = new MongoClient(address);
  try {
    await client.db().dropDatabase();
  } finally {
    await client.close();
  }
}

/** The database at an address. */
export async function collectionsAt(address: string): Promise<string[]> {
  const client = new MongoClient(address);
  try {
    const found = await client.db().listCollections({}, { nameOnly: true }).toArray();
    return found.map(({ name }) => name).sort();
  } finally {
    await client.close();
  }
}

/** Stops the server of this test process; the next new database starts another. */
export async function stopMongo(): Promise<void> {
  const server = await shared;
  shared = undefined;
  // Those of our own server end with it.
  for (const { address } of emptied.splice(0)) if (given !== '') await dropDatabase(address);
  await server?.clear();
}

process.once('exit', () => {
  for (const server of servers) server.abandon();
});
