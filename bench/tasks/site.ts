/** The processes and stores that the tasks bench measures. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { uuidv7 } from 'uuidv7';
import { Client } from '../../src/client/client.js';
import { collections } from '../../src/data/connector.js';
import { migrateStore } from '../../src/data/migration/index.js';
import { insert } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import { silentLog } from '../../src/model/log.js';
import type { TaskRecord } from '../../src/model/task.js';
import { openStore } from '../../src/site/stores.js';
import { adminKey, type ServerProcess, startServer } from '../../test/support/process.js';

/** Address of a new store: a file in the folder, or a separate database on the given server. */
export function storeFor(folder: string, name: string, server: string | undefined): string {
  mkdirSync(folder, { recursive: true });
  if (server === undefined) return `sqlite:${join(folder, `${name}.sqlite`)}`;
  const url = new URL(server);
  url.pathname = `/bench_${process.pid}_${name}`;
  return url.href;
}

/** The program that is measured; `main` is its compiled main.js. */
export interface Side {
  label: string;
  main: string;
}

export class Processes {
  readonly #folder: string;
  readonly #running: ServerProcess[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  async start(
    store: string,
    name: string,
    command: 'serve' | 'worker',
    args: string[],
    { main }: Side,
  ): Promise<ServerProcess> {
    const server = await startServer({
      command,
      main,
      // One folder per store: its processes share the simulated cloud.
      dataDir: join(this.#folder, name),
      args,
      environment: {
        COPSE_STORE: store,
        COPSE_LOG_LEVEL: 'info',
        COPSE_LIMITS_REQUESTS: '0',
        COPSE_SIMULATED_DELAY: '1',
        COPSE_TASKS_OBSERVE: '3600',
      },
    });
    this.#running.push(server);
    return server;
  }

  async stopAll(): Promise<void> {
    for (const server of this.#running.splice(0)) await server.kill('SIGTERM');
  }
}

/**
 * For everything that a bench measures: `server.client` also checks each response against the document, which takes
 * time.
 */
export function clientOf(server: ServerProcess): Client {
  return new Client(server.url, adminKey, { timeout: 60_000 });
}

/**
 * Waiting work that no process may claim: half of it in a region that no process drives, half of it held in the
 * measured region itself. Every claim has to get past it.
 */
export async function deepen(
  address: string,
  depth: number,
  model: TaskRecord,
  say: (text: string) => void,
): Promise<void> {
  const store = await openStore(address, '.', collections);
  try {
    await migrateStore(store, silentLog);
    const elsewhere = uuidv7();
    const { startTime, endTime, owner, leaseUntil, ...base } = model;
    for (let done = 0; done < depth; done += 1000) {
      const writes = Array.from({ length: Math.min(1000, depth - done) }, (_, index) => {
        const held = index % 2 === 0;
        return insert(tasks, uuidv7(), {
          ...base,
          status: held ? 'inactive' : 'pending',
          queue: held ? 'inactive' : 'ready',
          activated: !held,
          regionId: held ? base.regionId : elsewhere,
          subject: { type: 'instance', name: 'waiting', id: uuidv7() },
          attempts: [],
          steps: [],
          token: 0,
        });
      });
      await store.write(writes);
      if (done % 20_000 === 0 && done > 0) say(`  ${done} of ${depth} waiting tasks`);
    }
  } finally {
    await store.close();
  }
}
