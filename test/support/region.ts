/** Helpers of the region tests: temporary folders, waiting for conditions, and the environment of real machines. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { silentLog } from '../../src/model/log.js';
import { readProcessStat } from '../../src/platform/process-stat.js';
import type { LocalRegionOptions } from '../../src/region/local/index.js';
import { RegionError, type RegionErrorKind, type RegionPrincipal } from '../../src/region/provider.js';

export const principal: RegionPrincipal = { organizationId: 'organization', projectIds: [] };

/** A signal that never aborts. */
export function patient(): AbortSignal {
  return new AbortController().signal;
}

export function scratchFolder(name: string): string {
  return realpathSync(mkdtempSync(join(tmpdir(), `copse-${name}-`)));
}

/** Polls until the condition holds. Rejects, with what was awaited, after `ms`. */
export async function waitFor(
  what: string,
  condition: () => boolean | Promise<boolean>,
  ms = 90_000,
  interval = 50,
): Promise<void> {
  const deadline = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`gave up waiting until ${what}`);
    await sleep(interval);
  }
}

/** The kind of the RegionError that the promise rejects with. Any other outcome is an error in the test. */
export async function failureOf(promise: Promise<unknown>): Promise<RegionErrorKind> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof RegionError) return error.kind;
    throw error;
  }
  throw new Error('it succeeded');
}

/** What the promise rejects with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it succeeded');
}

export function packageRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

export function imageDir(): string {
  return process.env['COPSE_TEST_IMAGE_DIR'] ?? join(packageRoot(), '.cache', 'images');
}

/** The manifest of the test image. */
export function imageManifest(): { minMemoryMiB: number } {
  const [folder = ''] = readdirSync(imageDir()).filter((name) => name.startsWith('tiny-'));
  return JSON.parse(readFileSync(join(imageDir(), folder, 'image.json'), 'utf8')) as { minMemoryMiB: number };
}

/** Why real machines cannot be tested here; undefined if they can. */
export function missingForMachines(): string | undefined {
  for (const program of ['qemu-system-x86_64', 'qemu-img', 'genisoimage']) {
    try {
      execFileSync(program, ['--version'], { stdio: 'ignore' });
    } catch {
      return `${program} is not installed (packages: qemu-system-x86 qemu-utils genisoimage)`;
    }
  }
  const images = imageDir();
  const found =
    existsSync(images) && readdirSync(images).some((name) => existsSync(join(images, name, 'image.json')));
  return found
    ? undefined
    : `no guest image in ${images}; make one: scripts/image/build-tiny.sh ${images} CACHE`;
}

/** Reports on stderr, prominently, that real machines are not tested; returns whether that is so. */
export function skipLoudly(suite: string): boolean {
  const missing = missingForMachines();
  if (missing === undefined) return false;
  process.stderr.write(`\n!!! NOT TESTED: ${suite}\n!!! ${missing}\n\n`);
  return true;
}

export function localOptions(dataDir: string, change: Partial<LocalRegionOptions> = {}): LocalRegionOptions {
  return {
    regionId: '018f0000-0000-7000-8000-000000000001',
    dataDir,
    imageDir: imageDir(),
    accelerator: 'tcg',
    qemu: 'qemu-system-x86_64',
    qemuImg: 'qemu-img',
    startWidth: 0,
    startSlot: 30,
    stopDeadline: 60,
    tbSize: 32,
    consoleLimit: 1 << 20,
    flavors: [
      { name: 'small', cpus: 1, memoryMiB: 512, diskGB: 5 },
      { name: 'tiny', cpus: 1, memoryMiB: 128, diskGB: 1 },
      { name: 'micro', cpus: 1, memoryMiB: 32, diskGB: 1 },
    ],
    log: silentLog,
    housekeeping: 0.2,
    handover: 0,
    ...change,
  };
}

/** Pids of the processes that work in a folder or below it: the machines, found without the code under test. */
export function processesIn(folder: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid) || pid === process.pid) return false;
      try {
        const cwd = readlinkSync(`/proc/${pid}/cwd`);
        return (cwd === folder || cwd.startsWith(`${folder}/`)) && readProcessStat(pid) !== undefined;
      } catch {
        return false;
      }
    });
}

export function argumentsOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
}

/** Ends every machine below the folder and removes it, whatever state a failed test left. */
export async function cleanUp(folder: string): Promise<void> {
  for (const pid of processesIn(folder)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
  await waitFor('the machines are gone', () => processesIn(folder).length === 0, 20_000);
  rmSync(folder, { recursive: true, force: true });
}
