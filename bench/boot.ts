/**
 * From "create" to the guest's login prompt: through the API, compared with the same emulator command line started
 * directly. Interleaved in one run, because the machine's speed drifts. Goal: ratio of the medians at most 1.15.
 */
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { clientOf } from './tasks/site.js';
import {
  cleanUp,
  createInstance,
  emulatorsIn,
  imageDir,
  machinesMissing,
  type Offer,
  offerOf,
  type ServerProcess,
  startServer,
  temporaryFolder,
  until,
  untilGone,
} from '../test/support/process.js';

const intervalMs = 25;
const prompt = 'login:';
const timeoutSeconds = 180;

interface Reference {
  command: string;
  args: string[];
  folder: string;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** Seconds from POST to the prompt, as seen by a client. `keep` gets the folder while the machine exists. */
async function throughApi(
  server: ServerProcess,
  dataDir: string,
  offer: Offer,
  name: string,
  keep?: (pid: number) => void,
) {
  const client = clientOf(server);
  const started = performance.now();
  const { metadata } = await createInstance(client, name, offer);
  const path = `/api/v2/instances/${metadata.id}/consoleoutput?length=3`;
  const end = started + timeoutSeconds * 1000;
  while (!(await client.get<{ contents: string }>(path)).body.contents.includes(prompt)) {
    if (performance.now() > end) throw new Error(`no prompt after ${timeoutSeconds} s`);
    await sleep(intervalMs);
  }
  const seconds = (performance.now() - started) / 1000;
  const [pid] = emulatorsIn(dataDir);
  if (pid !== undefined) keep?.(pid);
  await client.delete(`/api/v2/instances/${metadata.id}`);
  await untilGone(client, metadata.id);
  return seconds;
}

/** The command line of a machine started by the server, and copies of its unused disks. */
function referenceOf(pid: number, folder: string): Reference {
  const [command = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  const live = execFileSync('readlink', [`/proc/${pid}/cwd`], { encoding: 'utf8' }).trim();
  mkdirSync(folder);
  const backing = JSON.parse(
    execFileSync('qemu-img', ['info', '-U', '--output=json', join(live, 'disk.qcow2')], { encoding: 'utf8' }),
  ) as { 'backing-filename': string; 'virtual-size': number };
  execFileSync('qemu-img', [
    ...['create', '-q', '-f', 'qcow2', '-b', backing['backing-filename'], '-F', 'qcow2'],
    ...[join(folder, 'disk.qcow2'), String(backing['virtual-size'])],
  ]);
  copyFileSync(join(live, 'seed.iso'), join(folder, 'seed.iso'));
  return { command, args: args.filter((word) => word !== '-S'), folder };
}

/** Seconds from spawn to the prompt in the console log. */
async function bare({ command, args, folder }: Reference, scratch: string): Promise<number> {
  const cwd = join(scratch, 'run');
  mkdirSync(cwd);
  for (const file of ['disk.qcow2', 'seed.iso']) copyFileSync(join(folder, file), join(cwd, file));
  const log = join(cwd, 'console.log');
  const started = performance.now();
  const child = spawn(command, args, { cwd, stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    for (
      const end = started + timeoutSeconds * 1000;
      !existsSync(log) || !readFileSync(log, 'latin1').includes(prompt);
    ) {
      if (performance.now() > end || child.exitCode !== null)
        throw new Error('the bare machine does not come up');
      await sleep(intervalMs);
    }
    return (performance.now() - started) / 1000;
  } finally {
    child.kill('SIGKILL');
    await ended;
    rmSync(cwd, { recursive: true });
  }
}

function report(name: string, values: readonly number[]): void {
  const range = `${Math.min(...values).toFixed(2)}-${Math.max(...values).toFixed(2)}`;
  process.stdout.write(
    `${name.padEnd(12)} median ${median(values).toFixed(2)} s  (${range}, n=${values.length})\n`,
  );
}

async function run(rounds: number): Promise<void> {
  const missing = machinesMissing();
  if (missing !== undefined) throw new Error(missing);
  const dataDir = temporaryFolder();
  const environment = { COPSE_LOCAL_IMAGE_DIR: imageDir, COPSE_LOG_LEVEL: 'info' };
  const server = await startServer({ dataDir, environment });
  try {
    const offer = await offerOf(server.client);
    const references: Reference[] = [];
    await throughApi(server, dataDir, offer, 'warm-up', (pid) => {
      references.push(referenceOf(pid, join(dataDir, 'reference')));
    });
    const [reference] = references;
    if (reference === undefined) throw new Error('the machine of the first round was not found');
    const api: number[] = [];
    const alone: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const turns = [
        async () => api.push(await throughApi(server, dataDir, offer, `round-${round}`)),
        async () => alone.push(await bare(reference, dataDir)),
      ];
      // Alternating order, so that a drift in the machine's speed favours neither.
      for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn();
      process.stdout.write(
        `round ${round + 1}/${rounds}: API ${api.at(-1)?.toFixed(2)} s, bare ${alone.at(-1)?.toFixed(2)} s\n`,
      );
    }
    report('through API', api);
    report('bare', alone);
    process.stdout.write(
      `ratio of medians ${(median(api) / median(alone)).toFixed(3)}  (goal: at most 1.15)\n`,
    );
  } finally {
    await server.kill('SIGTERM');
    await until('the server to end', 20, () => (server.child.exitCode !== null ? true : undefined));
    await cleanUp(dataDir);
  }
}

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '7' } } });
await run(Number(values.rounds));
