/** Several real processes on one store, which can be killed, stopped and cut off from it. */
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import Database from 'better-sqlite3';
import { SimulatedRegion } from '../../../src/region/simulated/index.js';
import { silentLog } from '../../../src/model/log.js';
import { MongoServer } from '../mongo.js';
import { now, Probes, type Span } from './calls.js';
import {
  cleanUp,
  environmentOf,
  mainFile,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../process.js';

/** SQLite, or with COPSE_TEST_STORE=mongodb a MongoDB-compatible server. */
const onMongo = process.env['COPSE_TEST_STORE'] === 'mongodb';

/** Seconds of a lease: short, so that takeovers happen all the time. */
export const lease = 2;

/** Clock offset of each process in milliseconds. */
export const clockSkews = [0, 17_000, -23_000];

/** The program before its modules were joined (scripts/setup/bundle.mjs). */
const inModules = join(dirname(mainFile), 'main-in-modules.js');

const shims = ['skew.js', 'probe.js'].map((name) => pathToFileURL(join(import.meta.dirname, name)).href);

export class Site {
  readonly folder = temporaryFolder();
  readonly #processes: (ServerProcess | undefined)[] = clockSkews.map(() => undefined);
  /** Since when each is stopped. */
  readonly #stopped = new Map<number, number>();
  readonly #deaths = new Map<number, number>();
  readonly #frozen: Span[] = [];
  #database: MongoServer | undefined;

  get size(): number {
    return clockSkews.length;
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
      // The probe hooks into a module.
      main: existsSync(inModules) ? inModules : mainFile,
      environment: {
        NODE_OPTIONS: shims.map((shim) => `--import ${shim}`).join(' '),
        COPSE_TEST_PROBE: this.folder,
        COPSE_TEST_SKEW: String(clockSkews[index] ?? 0),
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
    await this.#end(index, 'SIGKILL');
  }

  /** SIGTERM: hands its tasks over and exits. */
  async end(index: number): Promise<void> {
    await this.#end(index, 'SIGTERM');
  }

  async #end(index: number, signal: NodeJS.Signals): Promise<void> {
    const process = this.#processes[index];
    if (process === undefined) return;
    this.#processes[index] = undefined;
    this.#thaw(index, process);
    const before = now();
    await process.kill(signal);
    // Others detect at once that it is dead, sooner than this process is notified.
    this.#deaths.set(process.child.pid ?? 0, signal === 'SIGKILL' ? before : now());
  }

  pause(index: number): void {
    if (this.#processes[index]?.child.kill('SIGSTOP') === true) this.#stopped.set(index, now());
  }

  resume(index: number): void {
    const process = this.#processes[index];
    process?.child.kill('SIGCONT');
    if (process !== undefined) this.#thaw(index, process);
  }

  #thaw(index: number, { child }: ServerProcess): void {
    const from = this.#stopped.get(index);
    if (from !== undefined) this.#frozen.push({ pid: child.pid ?? 0, from, to: now() });
    this.#stopped.delete(index);
  }

  /** Brings back whatever was killed or stopped. */
  async heal(): Promise<void> {
    for (const index of [...this.#stopped.keys()]) this.resume(index);
    for (let index = 0; index < this.size; index += 1) await this.start(index);
  }

  /** The processes' calls to the region so far. */
  probes(): Probes {
    return new Probes(this.folder, this.#deaths, this.#frozen);
  }

  /** Addresses of all processes, in any state. */
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
