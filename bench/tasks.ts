/**
 * Throughput and latency of the task queue: tasks per second through one worker and through four, and the time from an
 * accepted request to the start of its task, with an idle queue and a deep one.
 *
 * npm run bench -- tasks [--tasks 2000] [--depth 100000] [--requests 300] [--store ADDRESS] [--also FOLDER] [--rounds 1]
 *   --store  a MongoDB-compatible server; databases of its own are made on it. Default: SQLite files.
 *            `documentdb` and `secantusdb` install and start the test servers, with durable writes;
 *            fewer requests are made then
 *   --also   also measures the throughput of another checkout, which has its own build/ (`npm run build`), in turn with
 *            this one, each on stores of its own, and prints the ratios; the latency is left out then
 *   --rounds how often the throughput is measured; the median counts
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Client } from '../src/client/client.js';
import { packageRoot } from '../src/config.js';
import { collections } from '../src/data/connector.js';
import { tasks } from '../src/data/task.js';
import type { Instance } from '../src/model/instance.js';
import type { Task } from '../src/model/task.js';
import { openStore } from '../src/site/stores.js';
import { createInstance, mainFile, type Offer, offerOf, until } from '../test/support/process.js';
import { median } from './pipeline/report.js';
import { benchStore } from './server.js';
import { clientOf, deepen, Processes, type Side, storeFor } from './tasks/site.js';

const { values } = parseArgs({
  options: {
    tasks: { type: 'string' },
    depth: { type: 'string' },
    requests: { type: 'string' },
    store: { type: 'string' },
    also: { type: 'string' },
    rounds: { type: 'string', default: '1' },
  },
});
const server = await benchStore(values.store);
const { address } = server;
const count = Number(values.tasks ?? (server.own ? 300 : 2000));
const depth = Number(values.depth ?? 100_000);
const requests = Number(values.requests ?? (server.own ? 100 : 300));
const rounds = Number(values.rounds);
if (![count, depth, requests, rounds].every((number) => Number.isInteger(number) && number > 0))
  throw new Error('--tasks, --depth, --requests and --rounds are whole numbers');

const present: Side = { label: 'this', main: mainFile };
const also: Side[] =
  values.also === undefined
    ? []
    : [{ label: 'other', main: join(resolve(values.also), 'build', 'src', 'main.js') }];
for (const { main } of also)
  if (!existsSync(main)) throw new Error(`${main} does not exist; run npm run build in that checkout`);

const cache = join(packageRoot(), '.cache');
mkdirSync(cache, { recursive: true });
const folder = mkdtempSync(join(cache, 'bench-tasks-'));
const processes = new Processes(folder);
const say = (text: string) => process.stderr.write(`${text}\n`);
const print = (text: string) => process.stdout.write(`${text}\n`);

function offered(client: Client): Promise<Offer> {
  return until('the region to be known', 30, async () => {
    const offer = await offerOf(client, 'sim-linux').catch(() => undefined);
    return offer === undefined || offer.imageId === '' ? undefined : offer;
  });
}

/** Creates this many instances, 32 at a time. */
async function createMany(client: Client, offer: Offer, number: number): Promise<void> {
  let next = 0;
  const hand = async () => {
    for (let mine = (next += 1); mine <= number; mine = next += 1)
      await createInstance(client, `t${mine}`, offer);
  };
  await Promise.all(Array.from({ length: 32 }, hand));
}

/** Tasks per second through this many workers, on a queue that was filled before they started. */
async function throughput(side: Side, workers: number, round: number): Promise<number> {
  const name = `rate-${side.label}-${workers}-${round}`;
  const store = storeFor(folder, name, address);
  // A first worker makes the region known, then leaves, so that the queue can fill.
  const first = await processes.start(store, name, 'worker', ['--region', 'simulated'], side);
  const api = await processes.start(store, name, 'serve', ['--no-worker'], side);
  const client = clientOf(api);
  const offer = await offered(client);
  // The catalog is cached by now, so creates are accepted while no worker runs.
  await first.kill('SIGKILL');
  await createMany(client, offer, count);
  for (let number = 0; number < workers; number += 1)
    await processes.start(store, name, 'worker', ['--region', 'simulated'], side);
  // Rarely, since it costs a server without indexes more than a task does.
  for (;;) {
    const open = await client.get<Task[]>('/api/v2/tasks?status=pending&status=running&limit=1');
    if (open.body.length === 0) break;
    await sleep(1000);
  }
  let [begin, end] = [Infinity, 0];
  let done = 0;
  for await (const task of client.items<Task>('/api/v2/tasks?limit=1000')) {
    if (task.status !== 'succeeded') throw new Error(`task ${task.id}: ${task.status}`);
    begin = Math.min(begin, Date.parse(task.startTime ?? ''));
    end = Math.max(end, Date.parse(task.endTime ?? ''));
    done += 1;
  }
  await processes.stopAll();
  return (done * 1000) / (end - begin);
}

/** Of each side, by number of workers: the medians. The sides are measured in turn, as the speed of a machine drifts. */
async function throughputs(): Promise<void> {
  const sides = [present, ...also];
  print(
    `| workers | ${sides.map(({ label }) => `${label}, tasks/s`).join(' | ')}${also.length > 0 ? ' | ratio' : ''} |`,
  );
  print(`| --- |${' ---: |'.repeat(sides.length + also.length)}`);
  for (const workers of [1, 4]) {
    const rates = new Map<Side, number[]>(sides.map((side) => [side, []]));
    for (let round = 0; round < rounds; round += 1) {
      say(`throughput with ${workers} worker(s), round ${round + 1} of ${rounds}`);
      for (const side of round % 2 === 0 ? sides : [...sides].reverse())
        rates.get(side)?.push(await throughput(side, workers, round));
    }
    const of = (side: Side) => rates.get(side) ?? [];
    const ratios = also.map((side) =>
      median(of(present).map((rate, round) => rate / (of(side)[round] ?? NaN))),
    );
    const cells = [
      ...sides.map((side) => median(of(side)).toFixed(1)),
      ...ratios.map((ratio) => ratio.toFixed(2)),
    ];
    print(`| ${workers} | ${cells.join(' | ')} |`);
  }
  print('');
}

/** Milliseconds from an accepted create to the start of its task's work: its claim is stored by then. */
async function latency(client: Client, offer: Offer, name: string): Promise<number> {
  const { metadata, status } = await createInstance(client, name, offer);
  const task = await until('the task to end', 120, async () => {
    const { body } = await client.get<Task>(`/api/v2/tasks/${status.taskId ?? ''}`);
    return body.endTime === undefined ? undefined : body;
  });
  await until(`${name} to run`, 120, async () => {
    const { body } = await client.get<Instance>(`/api/v2/instances/${metadata.id}`);
    return body.status.powerState === 'Running' ? true : undefined;
  });
  return Date.parse(task.steps[0]?.startTime ?? '') - Date.parse(task.creationTime);
}

async function latencies(): Promise<{ idle: number[]; deep: number[] }> {
  const stores = ['idle', 'deep'].map((name) => ({ name, store: storeFor(folder, name, address) }));
  for (const { name, store } of stores) {
    if (name !== 'deep') continue;
    // The first server creates the region, the project and a task to copy.
    const client = clientOf(await processes.start(store, name, 'serve', ['--region', 'simulated'], present));
    await latency(client, await offered(client), 'model');
    await processes.stopAll();
    const opened = await openStore(store, '.', collections);
    const [model] = await opened.page(tasks, { order: 'id', limit: 1 });
    await opened.close();
    if (model === undefined) throw new Error('no task to copy');
    await deepen(store, depth, model.value, say);
  }
  const sides: { client: Client; offer: Offer; found: number[] }[] = [];
  for (const { name, store } of stores) {
    const client = clientOf(await processes.start(store, name, 'serve', ['--region', 'simulated'], present));
    sides.push({ client, offer: await offered(client), found: [] });
  }
  for (let turn = 0; turn < requests; turn += 1) {
    for (const { client, offer, found } of sides) found.push(await latency(client, offer, `l${turn}`));
  }
  await processes.stopAll();
  const [idle, deep] = sides;
  return { idle: idle?.found ?? [], deep: deep?.found ?? [] };
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

async function reportLatencies(): Promise<void> {
  say(`latency, ${requests} requests at an idle queue and at one of ${depth}`);
  const { idle, deep } = await latencies();
  print('| queue | mean ms | median ms |\n| --- | ---: | ---: |');
  print(`| idle | ${mean(idle).toFixed(2)} | ${median(idle).toFixed(1)} |`);
  print(`| ${depth} deep | ${mean(deep).toFixed(2)} | ${median(deep).toFixed(1)} |\n`);
  const ratio = mean(deep) / mean(idle);
  print(`deep / idle: ${ratio.toFixed(2)} (goal 1.30: ${ratio <= 1.3 ? 'met' : 'MISSED'})`);
}

try {
  print(`store: ${server.title}, ${count} tasks of instance.create`);
  await throughputs();
  if (also.length === 0) await reportLatencies();
} finally {
  await processes.stopAll();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
}
