/** The measured programs as separate processes, pinned to one core, each ended by its pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { readProcessStat } from '../../src/platform/process-stat.js';
import { adminKey, servedRegion } from './seed.js';

/** How a server's pages are addressed: by Copse's signed cursors, or by the id before the page. */
export type Paging = 'key' | 'after';

export interface Program {
  label: string;
  paging: Paging;
  /** Responds with ready buffers, so it has no ids to compare and stores nothing. */
  constant: boolean;
  /** Script and arguments for node; the folder holds the database as `copse.sqlite`. */
  command: (folder: string) => string[];
  /** The folder of another checkout: its program gets a store of its own, which this program has not migrated. */
  checkout?: string;
}

const startTimeoutMs = 30_000;

export const baselines: readonly Program[] = [
  baseline('(a) node:http', 'node-http'),
  baseline('(b) koa, usual', 'koa-usual'),
  baseline('(c) koa, buffer', 'koa-buffer', true),
  baseline('(d) fastify', 'fastify'),
];

function baseline(label: string, file: string, constant = false): Program {
  const script = join(import.meta.dirname, 'baseline', `${file}.js`);
  const command = (folder: string) => [script, JSON.stringify({ database: join(folder, 'copse.sqlite') })];
  return { label, paging: 'after', constant, command };
}

/**
 * The real program. Its runner works on one task at a time, which takes an hour: the first created instance occupies
 * it, and all others stay queued. So POST is measured without the later work, which the baselines do not have.
 */
export function ourProgram(label: string, mainFile: string, change: object = {}): Program {
  const main = resolve(mainFile);
  if (!existsSync(main)) throw new Error(`${main} does not exist; npm run bench compiles it`);
  const options = parse(readFileSync(join(dirname(main), '..', 'config', 'default.yaml'), 'utf8')) as object;
  const config = {
    tasks: { concurrency: 1, lease: 86_400, poll: 86_400, grace: 0 },
    simulated: { delay: 3_600_000 },
    ...change,
    // The limiter stays on and counts; only its limit is out of reach.
    ...('limits' in options ? { limits: { requests: 1_000_000_000 } } : {}),
  };
  const command = (folder: string) => {
    const file = join(folder, 'bench.json');
    writeFileSync(file, JSON.stringify(config));
    return [
      '--heap-growing-percent=50',
      main,
      'serve',
      '--config',
      file,
      '--region',
      servedRegion,
      '--port',
      '0',
      '--data-dir',
      folder,
    ];
  };
  return { label, paging: 'key', constant: false, command };
}

export class Server {
  readonly program: Program;
  readonly url: string;
  readonly pid: number;
  readonly #child: ChildProcess;

  private constructor(program: Program, child: ChildProcess, url: string) {
    this.program = program;
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.url = url;
  }

  /** Standard output, and so the request log, goes to a file in the folder. */
  static async start(program: Program, folder: string, core: number, nodeArgs: string[]): Promise<Server> {
    const log = join(folder, `${program.label.replaceAll(/\W+/g, '-')}.log`);
    const output = openSync(log, 'w');
    const args = ['-c', String(core), process.execPath, ...nodeArgs, ...program.command(folder)];
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('COPSE_'));
    const child = spawn('taskset', args, {
      stdio: ['ignore', output, output],
      env: { ...Object.fromEntries(inherited), NODE_ENV: 'production', COPSE_ADMIN_KEY: adminKey },
    });
    closeSync(output);
    try {
      return new Server(program, child, await listening(program, child, log));
    } catch (error) {
      await end(child);
      throw error;
    }
  }

  stop(): Promise<void> {
    return end(this.#child);
  }

  /** Milliseconds of CPU time that all threads have used, user and system. */
  cpu(): number {
    return (readProcessStat(this.pid)?.cpuSeconds ?? 0) * 1000;
  }
}

async function listening(program: Program, child: ChildProcess, log: string): Promise<string> {
  for (const deadline = Date.now() + startTimeoutMs; Date.now() < deadline;) {
    await sleep(25);
    const said = readFileSync(log, 'utf8');
    const line = said.split('\n').find((text) => text.includes('"msg":"listening"'));
    if (line !== undefined) return (JSON.parse(line) as { url: string }).url;
    if (child.exitCode !== null || child.pid === undefined)
      throw new Error(`${program.label} ended with ${child.exitCode ?? 'no process'}:\n${said.slice(-2000)}`);
  }
  throw new Error(`${program.label} does not listen after ${startTimeoutMs / 1000} s`);
}

async function end(child: ChildProcess): Promise<void> {
  const gone = () => child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (gone()) return;
    child.kill(signal);
    for (const deadline = Date.now() + 5000; Date.now() < deadline && !gone();) await sleep(25);
  }
}
