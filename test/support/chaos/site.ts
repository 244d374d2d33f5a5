/** Several real processes on one store, which can be killed, stopped and cut off from it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import Database from 'better-sqlite3';
import { SimulatedRegion } from '../../../src/region/simulated/index.js';
import { silentLog } from '../../../src/model/log.js';
import { MongoServer } from '../mongo.js';
import { cleanUp, environmentOf, type ServerProcess, startServer, temporaryFolder } from '../process.js';

/** SQLite, or with COPSE_TEST_STORE=mongodb a MongoDB-compatible server. */
const onMongo = process.env['COPSE_TEST_STORE'] === 'mongodb';

/** Seconds of a lease: short, so that take-overs happen all the time. */
export const lease = 2;

/** Milliseconds that the clock of each process is off. */
const skews = [0, 17_000, -23_000];

const shim = pathToFileURL(join(import.meta.dirname, 'skew.js')).href;

export class Site {
  readonly folder = temporaryFolder();
  readonly #processes: (ServerProcess | undefined)[] = skews.map(() => undefined);
  readonly #stopped = new Set<number>();
  #database: MongoServer | undefined;

  get size(): number {
    return skews.length;
  }

  get file(): string {
    return join(this.folder, 'site.sqlite');
  }

  get #store(): string {
    return this.#database === undefined ? `sqlite:${this.file}` : `${this.#database.address}/site`;
  }

  async startAll(): Promise<void> {
    mkdirSync(this.folder, { recursive: true });
    if (onMongo) this.#database = await new MongoServer().start();
    for (let index = 0; index < this.size; index += 1) await this.start(index);
  }

  async start(index: number): Promise<void> {
    if (this.#processes[index] !== undefined) return;
    this.#processes[index] = await startServer({
      dataDir: this.folder,
      args: ['--region', 'simulated'],
      environment: {
        NODE_OPTIONS: `--import ${shim}`,
        COPSE_TEST_SKEW: String(skews[index] ?? 0),
        ...environmentOf({
          store: this.#store,
          limits: { requests: 0 },
          simulated: { delay: 60, delayJitter: 1, failureRate: 0.15 },
          tasks: {
            lease,
            poll: 0.3,
            backoff: 0.05,
            backoffMax: 0.5,
            maxAttempts: 50,
            grace: 1,
            observe: 5,
          },
        }),
      },
    });
  }

  async kill(index: number): Promise<void> {
    const process = this.#processes[index];
    this.#processes[index] = undefined;
    this.#stopped.delete(index);
    await process?.kill('SIGKILL');
  }

  /** SIGTERM: hands its tasks over and ends. */
  async end(index: number): Promise<number | string | undefined> {
    const process = this.#processes[index];
    this.#processes[index] = undefined;
    return process?.kill('SIGTERM');
  }

  pause(index: number): void {
    this.#processes[index]?.child.kill('SIGSTOP');
    this.#stopped.add(index);
  }

  resume(index: number): void {
    this.#processes[index]?.child.kill('SIGCONT');
    this.#stopped.delete(index);
  }

  /** Brings back whatever was killed or stopped. */
  async heal(): Promise<void> {
    for (const index of [...this.#stopped]) this.resume(index);
    for (let index = 0; index < this.size; index += 1) await this.start(index);
  }

  /** Addresses of the processes that there are, whatever state they are in. */
  urls(): string[] {
    return this.#processes.flatMap((process) => (process === undefined ? [] : [process.url]));
  }

  /** Keeps every process from writing until the returned function is called: a foreign lock, or a server that is down. */
  async holdStore(): Promise<() => Promise<unknown>> {
    const server = this.#database;
    if (server !== undefined) {
      await server.stop();
      return () => server.start();
    }
    const database = new Database(this.file, { timeout: 10_000 });
    database.exec('BEGIN IMMEDIATE');
    return () => {
      database.exec('ROLLBACK');
      database.close();
      return Promise.resolve();
    };
  }

  /** The cloud behind all processes. */
  async withCloud<R>(look: (region: SimulatedRegion) => R): Promise<R> {
    const region = new SimulatedRegion({
      regionId: '00000000-0000-7000-8000-000000000000',
      file: join(this.folder, 'simulated.sqlite'),
      delay: 0,
      failureRate: 0,
      seed: 1,
      log: silentLog,
    });
    await region.open();
    try {
      return look(region);
    } finally {
      await region.close();
    }
  }

  async close(): Promise<void> {
    for (let index = 0; index < this.size; index += 1) {
      this.resume(index);
      await this.kill(index);
    }
    await this.#database?.clear();
    await cleanUp(this.folder);
  }
}
