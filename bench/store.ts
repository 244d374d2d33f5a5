/**
 * The cost of depth, size and durability on a store of a million instances: pages deep in a list compared with its
 * first ones, the server's memory, and creates compared with the bare engine. Interleaved in one run; only ratios and
 * memory have goals.
 *
 * npm run bench -- store [--rows 1000000] [--store ADDRESS] [--samples 400] [--rounds 5] [--seconds 2]
 *   --store  an empty store to seed, or one that an earlier run has seeded; default: a SQLite file in .cache/bench.
 *            `documentdb` and `secantusdb` install and start the test servers, with durable writes
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { packageRoot } from '../src/config.js';
import { collections } from '../src/data/connector.js';
import { currentSchema } from '../src/data/migration/index.js';
import { openStore } from '../src/site/stores.js';
import { adminKey, offerOf, type ServerProcess, startServer } from '../test/support/process.js';
import { type Generator, generator } from './pipeline/load.js';
import { median } from './pipeline/report.js';
import { benchStore } from './server.js';
import { compare, type ListResult, type Pages, walk } from './store/lists.js';
import { commonStatus, commonTag, seed } from './store/seed.js';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    store: { type: 'string' },
    samples: { type: 'string', default: '400' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
  },
});
const rows = Number(values.rows);
const samples = Number(values.samples);
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
if (![rows, samples, rounds, seconds].every((number) => Number.isInteger(number) && number > 0))
  throw new Error('--rows, --samples, --rounds and --seconds are whole numbers');

const cache = join(packageRoot(), '.cache', 'bench');
mkdirSync(cache, { recursive: true });
const engine = await benchStore(values.store);
const address = engine.address ?? `sqlite:${join(cache, `store-${rows}-schema-${currentSchema}.sqlite`)}`;
const folder = mkdtempSync(join(cache, 'run-'));
const say = (text: string) => process.stderr.write(`${text}\n`);
const print = (text: string) => process.stdout.write(`${text}\n`);

/** A server on the store, without background work. `kept`: MiB of cached pages, if not the default. */
function serve(kept?: number): Promise<ServerProcess> {
  return startServer({
    dataDir: folder,
    args: ['--region', 'simulated'],
    environment: {
      COPSE_STORE: address,
      ...(kept === undefined ? {} : { COPSE_CACHE_PAGES: String(kept) }),
      COPSE_LIMITS_REQUESTS: '1000000000',
      COPSE_SIMULATED_DELAY: '3600000',
      COPSE_TASKS_CONCURRENCY: '1',
      COPSE_TASKS_LEASE: '86400',
      COPSE_TASKS_POLL: '86400',
      COPSE_TASKS_OBSERVE: '86400',
      COPSE_TASKS_GRACE: '0',
    },
  });
}

/** Memory of a process in MiB: all of it, its peak, and the part that is not mapped from files. */
function memoryOf(server: ServerProcess): { all: number; most: number; own: number } {
  const status = readFileSync(`/proc/${server.child.pid ?? 0}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024;
  return {
    all: Math.round(field('VmRSS')),
    most: Math.round(field('VmHWM')),
    own: Math.round(field('RssAnon')),
  };
}

/** Walks every list on a server with default settings, and watches its memory. */
async function walkAll(projectId: string): Promise<{ pages: Pages[]; memory: string[] }> {
  const tag = `tag=${encodeURIComponent(`${commonTag.name}=${commonTag.value}`)}`;
  const lists = [
    { title: 'all', query: '' },
    { title: 'of a project', query: `projectID=${projectId}` },
    { title: 'with a tag', query: tag },
    { title: 'with a status', query: `status=${commonStatus}` },
    { title: 'project, tag and status', query: `projectID=${projectId}&${tag}&status=${commonStatus}` },
  ];
  const server = await serve();
  const pages: Pages[] = [];
  const memory = [`start ${describe(server)}`];
  try {
    for (const list of lists) {
      pages.push(await walk(server.url, list, Math.floor((rows * 0.9) / 1000) * 1000));
      memory.push(`${list.title} ${describe(server)}`);
      say(`walked: ${list.title}, ${describe(server)}`);
    }
  } finally {
    await server.kill('SIGTERM');
  }
  return { pages, memory };
}

function describe(server: ServerProcess): string {
  const { all, most, own } = memoryOf(server);
  return `${all} MiB (${own} of its own, at most ${most} so far)`;
}

async function depths(pages: readonly Pages[]): Promise<ListResult[]> {
  // Without cached pages, or the first ones would be served from memory.
  const server = await serve(0);
  const results: ListResult[] = [];
  try {
    // A cold server costs twice as much, which would count against the first list only.
    for (const list of pages) await compare(server.url, list, Math.ceil(samples / 2));
    for (const list of pages) results.push(await compare(server.url, list, samples));
  } finally {
    await server.kill('SIGTERM');
  }
  return results;
}

interface Creates {
  copse: number;
  bare: number;
}

/** Rounds of creates over HTTP, each next to one of the bare engine on the same disk. */
async function creates(generate: Generator): Promise<{ rates: Creates[]; memory: string }> {
  const server = await serve();
  const rates: Creates[] = [];
  try {
    const offer = await offerOf(server.client, 'sim-linux');
    const body = JSON.stringify({ metadata: { name: 'NAME' }, spec: offer });
    const [before = '', after = ''] = body.split('NAME');
    const headers = { Authorization: `Bearer ${adminKey}`, 'Content-Type': 'application/json' };
    const load = { url: server.url, method: 'POST' as const, headers, paths: ['/api/v2/instances'] };
    const copse = async () => {
      const { requests, seconds: took } = await generate(
        { ...load, body: { before, after } },
        seconds,
        folder,
      );
      return requests / took;
    };
    const script = join(import.meta.dirname, 'store', 'bare.js');
    const bare = async () => {
      const args = [script, join(folder, 'bare.sqlite'), String(seconds)];
      return Number((await promisify(execFile)(process.execPath, args)).stdout);
    };
    await copse();
    for (let round = 0; round < rounds; round += 1) {
      if (round % 2 === 0) rates.push({ copse: await copse(), bare: await bare() });
      else {
        const rate = await bare();
        rates.push({ bare: rate, copse: await copse() });
      }
    }
    return { rates, memory: describe(server) };
  } finally {
    await server.kill('SIGTERM');
  }
}

try {
  const fresh = !existsSync(address.slice('sqlite:'.length));
  if (fresh) say(`seeding ${rows} instances in ${address}`);
  const store = await openStore(address, folder, collections);
  const { projectId } = await seed(store, rows, say);
  await store.close();

  const { pages, memory } = await walkAll(projectId);
  const results = await depths(pages);
  print(`\n| pages of 100 | depth 0, ms | depth ${pages[0]?.depth ?? 0}, ms | ratio (goal at most 1.15) |`);
  print('| --- | --- | --- | --- |');
  for (const { title, shallow, deep } of results)
    print(`| ${title} | ${shallow.toFixed(3)} | ${deep.toFixed(3)} | ${(deep / shallow).toFixed(3)} |`);
  print(`\nMemory of the server (goal at most 200 MiB): ${memory.join('; ')}`);

  const { rates, memory: after } = await creates(generator(new AbortController().signal).generate);
  const copse = median(rates.map((rate) => rate.copse));
  const bare = median(rates.map((rate) => rate.bare));
  print(`after creates ${after}`);
  print(`\n| creates in a second | rate | of the bare engine (goal at least 0.5) |`);
  print('| --- | --- | --- |');
  print(`| POST, 32 connections | ${Math.round(copse)} | ${(copse / bare).toFixed(2)} |`);
  print(`| bare better-sqlite3, two rows in a transaction | ${Math.round(bare)} | 1 |`);
} finally {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
}
