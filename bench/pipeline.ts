/**
 * What a request costs: server CPU time for GET of one instance, GET of a page and POST, for the real program compared
 * with node:http, koa and fastify used the usual way, over the same SQLite file. Interleaved in one run and measured in
 * CPU time, because the speed of a shared machine drifts.
 *
 * npm run bench -- pipeline [--rounds 9] [--seconds 2] [--rows 100000] [--jobs one,page,post] [--markdown]
 *   --also FILE     also measures another build of the program (its dist/main.js), on a store of its own; may be
 *                   repeated, the oldest first: its build/bench, if there is one, makes the rows, so that it knows their
 *                   schema, and every newer program migrates its copy
 *   --node-arg ARG  is passed to the node of every Copse build, such as --cpu-prof; may be repeated
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { packageRoot } from '../src/config.js';
import { check, type JobName, jobNames, loadOf, sampleOf, type Sample as Requests } from './pipeline/jobs.js';
import { connections, type Generator, generator } from './pipeline/load.js';
import { report, type Result, type Sample } from './pipeline/report.js';
import { copyInto, migratedFile, seededFile } from './pipeline/seed.js';
import { baselines, ourProgram, type Program, Server } from './pipeline/servers.js';

/**
 * Requests and seconds after which a server counts as warm. During the first thousands of requests the compiler is
 * still at work, which costs most where most code runs.
 */
const warm = { requests: 6000, least: 4, most: 30 };

/** Copse when each page is requested only once between two writes. Differs only in pages. */
const unkept = 'copse, no page kept';

interface Options {
  rounds: number;
  seconds: number;
  rows: number;
  jobs: readonly JobName[];
  markdown: boolean;
  programs: readonly Program[];
  nodeArgs: string[];
}

function whole(name: string, text: string, least: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least)
    throw new Error(`--${name} must be a whole number of at least ${least}, not "${text}"`);
  return value;
}

function optionsOf(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: '9' },
      seconds: { type: 'string', default: '2' },
      rows: { type: 'string', default: '100000' },
      jobs: { type: 'string', default: jobNames.join() },
      also: { type: 'string', multiple: true, default: [] },
      'node-arg': { type: 'string', multiple: true, default: [] },
      markdown: { type: 'boolean', default: false },
    },
  });
  const wanted = values.jobs.split(',');
  const unknown = wanted.find((name) => !(jobNames as readonly string[]).includes(name));
  if (unknown !== undefined) throw new Error(`--jobs knows ${jobNames.join(', ')}, not "${unknown}"`);
  const others = values.also.map((file): Program => {
    const checkout = dirname(dirname(resolve(file)));
    return { ...ourProgram(`copse (${basename(checkout)})`, file), checkout };
  });
  const main = join(packageRoot(), 'dist', 'main.js');
  return {
    rounds: whole('rounds', values.rounds, 1),
    seconds: whole('seconds', values.seconds, 1),
    rows: whole('rows', values.rows, 2000),
    jobs: jobNames.filter((name) => wanted.includes(name)),
    markdown: values.markdown,
    programs: [
      ourProgram('copse', main),
      ourProgram(unkept, main, { cache: { pages: 0 } }),
      ...others,
      ...baselines,
    ],
    nodeArgs: values['node-arg'],
  };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** The servers run on the last core, the load and this process on the first. */
function cores(): { server: number; load: number } {
  const count = cpus().length;
  if (count < 2) throw new Error('this needs two cores, one for the servers and one for the load');
  return { server: count - 1, load: 0 };
}

/** One round of one server: CPU time before and after the load. */
async function measure(
  server: Server,
  job: JobName,
  requests: Requests,
  generate: Generator,
  seconds: number,
  folder: string,
): Promise<Sample> {
  // Work left by the last round (garbage, open connections) must not count in this round.
  await sleep(100);
  const before = server.cpu();
  const load = await generate(loadOf(job, server, requests), seconds, folder);
  const used = server.cpu() - before;
  return { cpu: (used * 1000) / load.requests, rate: load.requests / load.seconds, p50: load.p50 };
}

async function warmUp(
  server: Server,
  turn: (server: Server, seconds: number) => Promise<Sample>,
): Promise<void> {
  let requests = 0;
  for (
    let time = 0;
    time < warm.least || (requests < warm.requests && time < warm.most);
    time += warm.least
  ) {
    const { rate } = await turn(server, warm.least);
    requests += rate * warm.least;
  }
}

class Bench {
  readonly #options: Options;
  readonly #folder: string;
  readonly #running = new Set<Server>();
  readonly #controller = new AbortController();
  /** By checkout, because each version has its own form of page keys. The ids are the same. */
  readonly #requests = new Map<string | undefined, Requests>();

  constructor(options: Options, folder: string) {
    this.#options = options;
    this.#folder = folder;
  }

  async run(): Promise<string> {
    const { rows, jobs } = this.#options;
    const seeded = await this.#seed(rows);
    const own = (name: string, checkout?: string) => {
      const folder = join(this.#folder, name);
      copyInto(checkout === undefined ? seeded.present : seeded.oldest, folder);
      return folder;
    };
    const shared = own('shared');
    const tables: string[] = [];
    try {
      const readers = await this.#start(({ checkout }, index) =>
        checkout === undefined ? shared : own(`reader-${index}`, checkout),
      );
      for (const server of readers) {
        const { checkout } = server.program;
        if (!this.#requests.has(checkout)) this.#requests.set(checkout, await sampleOf(server));
      }
      for (const job of jobs.filter((name) => name !== 'post')) tables.push(await this.#job(job, readers));
      await this.#stop();
      if (jobs.includes('post')) {
        const writers = await this.#start(({ checkout }, index) => own(`writer-${index}`, checkout));
        tables.push(await this.#job('post', writers));
      }
    } finally {
      await this.#stop();
    }
    return tables.join('\n');
  }

  /** The file for programs of other checkouts, and the one for everybody else. */
  async #seed(rows: number): Promise<{ oldest: string; present: string }> {
    const checkout = this.#options.programs.find((program) => program.checkout !== undefined)?.checkout;
    const maker = join(checkout ?? '', 'build', 'bench', 'pipeline', 'seed.js');
    if (checkout === undefined || !existsSync(maker)) {
      const file = await seededFile(rows, say);
      return { oldest: file, present: file };
    }
    const there = (await import(pathToFileURL(maker).href)) as { seededFile: typeof seededFile };
    const oldest = await there.seededFile(rows, say);
    const folder = join(this.#folder, 'migrated');
    copyInto(oldest, folder);
    return { oldest, present: await migratedFile(folder) };
  }

  get generator(): string {
    return generator(this.#controller.signal).name;
  }

  /** Ends the load; the run then fails and stops the servers as after any failure. */
  interrupt(): void {
    this.#controller.abort(new Error('interrupted'));
  }

  async #stop(): Promise<void> {
    await Promise.all([...this.#running].map((server) => server.stop()));
    this.#running.clear();
  }

  async #start(folderOf: (program: Program, index: number) => string): Promise<Server[]> {
    const { programs, nodeArgs } = this.#options;
    const servers: Server[] = [];
    for (const [index, program] of programs.entries()) {
      this.#controller.signal.throwIfAborted();
      const extra = program.paging === 'key' ? nodeArgs : [];
      const server = await Server.start(program, folderOf(program, index), cores().server, extra);
      this.#running.add(server);
      servers.push(server);
    }
    return servers;
  }

  async #job(job: JobName, started: readonly Server[]): Promise<string> {
    const servers = started.filter(({ program }) => job === 'page' || program.label !== unkept);
    const { rounds, seconds, markdown } = this.#options;
    const requestsFor = ({ program }: Server) => {
      const requests = this.#requests.get(program.checkout);
      if (requests === undefined) throw new Error('the requests are not known yet');
      return requests;
    };
    const bytes = await check(job, servers, requestsFor);
    const { generate } = generator(this.#controller.signal);
    const turn = (server: Server, time: number) => {
      this.#controller.signal.throwIfAborted();
      return measure(server, job, requestsFor(server), generate, time, this.#folder);
    };
    say(`${job}: warming up`);
    for (const server of servers) await warmUp(server, turn);
    const samples = new Map<Server, Sample[]>(servers.map((server) => [server, []]));
    for (let round = 0; round < rounds; round += 1) {
      // Each round begins with a different server, so that a drift in the machine's speed favours none.
      const first = round % servers.length;
      const order = [...servers.slice(first), ...servers.slice(0, first)];
      for (const server of order) samples.get(server)?.push(await turn(server, seconds));
      const costs = servers.map((server) => samples.get(server)?.at(-1)?.cpu.toFixed(0) ?? '');
      say(`${job}: round ${round + 1}/${rounds}, CPU µs/request ${costs.join(' ')}`);
    }
    const results: Result[] = servers.map((server) => ({
      label: server.program.label,
      samples: samples.get(server) ?? [],
    }));
    return report(job, results, bytes, markdown);
  }
}

/** The comment at the top of this file describes the bench and its options. */
function help(): string {
  const text = readFileSync(join(packageRoot(), 'bench', 'pipeline.ts'), 'utf8');
  return text.slice(text.indexOf('\n') + 1, text.indexOf(' */')).replaceAll(/^ \* ?/gm, '');
}

async function main(): Promise<void> {
  if (process.argv.includes('--help')) {
    say(help());
    return;
  }
  const options = optionsOf(process.argv.slice(2));
  const { server, load } = cores();
  execFileSync('taskset', ['-a', '-c', '-p', String(load), String(process.pid)], { stdio: 'ignore' });
  // Inside the project, because /tmp may be an in-memory file system, where a commit costs nothing.
  const cache = join(packageRoot(), '.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'bench-run-'));
  const bench = new Bench(options, folder);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => bench.interrupt());
  try {
    const tables = await bench.run();
    const setting = `${options.rows} instances, ${options.rounds} rounds of ${options.seconds} s, ${bench.generator} with ${connections} connections on core ${load}, servers on core ${server}, Node ${process.version}`;
    process.stdout.write(`\n${setting}\n\n${tables}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`pipeline bench: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
