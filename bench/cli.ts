/**
 * What the start of the command line costs: CPU time of `copse instance list` against a server with 50 instances, and of
 * a node that does nothing, interleaved. Goal: at most 150 ms more.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import {
  adminKey,
  cleanUp,
  createInstance,
  mainFile,
  offerOf,
  startServer,
  temporaryFolder,
} from '../test/support/process.js';

const goal = 150;
const { values: flags } = parseArgs({ options: { rounds: { type: 'string', default: '15' } } });

/** Makes a process tell its CPU time, in milliseconds, as the last line of standard error. */
const meter = `data:text/javascript,process.on('exit',()=>{const{user,system}=process.cpuUsage();process.stderr.write('\\n'+(user+system)/1000)})`;

function cpuOf(args: readonly string[], environment: Record<string, string>): Promise<number> {
  const child = spawn(process.execPath, ['--import', meter, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...environment },
  });
  let text = '';
  child.stderr.on('data', (chunk) => (text += String(chunk)));
  return new Promise((resolve, reject) => {
    child.once('close', (code) => {
      if (code === 0) resolve(Number(text.split('\n').at(-1)));
      else reject(new Error(text));
    });
  });
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

const folder = temporaryFolder();
const server = await startServer({ dataDir: folder, args: ['--region', 'simulated'] });
try {
  const offer = await offerOf(server.client, 'sim-linux');
  for (let number = 1; number <= 50; number += 1) await createInstance(server.client, `i-${number}`, offer);
  const environment = { COPSE_URL: server.url, COPSE_API_KEY: adminKey, XDG_CONFIG_HOME: folder };
  const jobs: Record<string, string[]> = {
    'node alone': ['-e', '0'],
    'copse --help': [mainFile, '--help'],
    'copse instance list': [mainFile, 'instance', 'list'],
  };
  const times = new Map<string, number[]>(Object.keys(jobs).map((name) => [name, []]));
  for (let round = 0; round < Number(flags.rounds); round += 1) {
    for (const [name, args] of Object.entries(jobs)) times.get(name)?.push(await cpuOf(args, environment));
  }
  for (const [name, all] of times)
    process.stdout.write(`${name.padEnd(20)} ${median(all).toFixed(0).padStart(5)} ms CPU\n`);
  const more = median(times.get('copse instance list') ?? []) - median(times.get('node alone') ?? []);
  process.stdout.write(`a list costs ${more.toFixed(0)} ms more than node alone (goal: at most ${goal})\n`);
  if (more > goal) process.exitCode = 1;
} finally {
  await server.kill('SIGTERM');
  await cleanUp(folder);
}
