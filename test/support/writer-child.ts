/**
 * A process that works on a store like a server, concurrently, until it is killed: it creates instances with their
 * tasks, claims and finishes tasks, removes instances, counts. Prints one JSON line for each irrevocable intent and for
 * each acknowledged write. Arguments: address of the store, data folder, seed.
 */
import { writeSync } from 'node:fs';
import { uuidv7 } from 'uuidv7';
import { collections } from '../../src/data/connector.js';
import { instances } from '../../src/data/instance.js';
import { migrateStore } from '../../src/data/migration/index.js';
import { ownerName } from '../../src/data/owner.js';
import { TaskQueue } from '../../src/data/queue.js';
import { secretFor, secrets } from '../../src/data/secret.js';
import { insert, remove, replace, StoreConflict } from '../../src/data/store/port.js';
import { retrying } from '../../src/data/store/retry.js';
import { tasks } from '../../src/data/task.js';
import { silentLog } from '../../src/model/log.js';
import { openStore } from '../../src/site/stores.js';
import { instanceRecord, taskRecord } from './rows.js';

const [address = '', folder = '', seed = '1'] = process.argv.slice(2);
const projectId = '01900000-0000-7000-8000-000000000001';
const regionId = '01900000-0000-7000-8000-000000000002';
const store = await openStore(address, folder, collections);
await migrateStore(store, silentLog);
await secretFor(store, 'cursor');
const queue = new TaskQueue(store, { owner: ownerName(), lease: 60_000 });
let state = Number(seed);

function random(below: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

function say(line: object): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

async function unlessRaced(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (error instanceof StoreConflict) return false;
    throw error;
  }
}

async function make(): Promise<void> {
  const [id, task] = [uuidv7(), uuidv7()];
  // Few enough names that some collide.
  const name = `name-${random(500)}`;
  const writes = [
    insert(instances, id, instanceRecord({ name, projectId, regionId, openTasks: [task] })),
    insert(tasks, task, taskRecord(id, { projectId, regionId })),
  ];
  if (await unlessRaced(store.write(writes))) say({ made: id, task });
}

async function finish(): Promise<void> {
  const claim = await queue.claim(regionId);
  if (claim === undefined) return;
  await claim.finish({ status: 'succeeded' }, (instance) => instance);
  say({ finished: claim.id });
}

async function drop(): Promise<void> {
  const page = await store.page(instances, { order: 'id', limit: 20, filter: { project_id: projectId } });
  const found = page[random(Math.max(page.length, 1))];
  if (found === undefined || found.value.openTasks.length > 0) return;
  say({ going: found.id });
  if (await unlessRaced(store.write([remove(instances, found)]))) say({ gone: found.id });
}

/** Counts in a document that every store has and nothing else reads. */
async function count(): Promise<void> {
  const id = 'test-counter';
  const next = await retrying(async () => {
    const found = await store.get(secrets, id);
    const value = Number(found?.value.value ?? 0) + 1;
    const record = { value: String(value) };
    await store.write([found === undefined ? insert(secrets, id, record) : replace(secrets, found, record)]);
    return value;
  }).catch((error: unknown) => {
    // Another process created it first.
    if (error instanceof StoreConflict) return undefined;
    throw error;
  });
  if (next !== undefined) say({ counted: next });
}

say({ ready: true });
const kinds = [make, make, make, finish, finish, finish, drop, drop, count];
await Promise.all(
  Array.from({ length: 8 }, async () => {
    for (;;) await kinds[random(kinds.length)]?.();
  }),
);
