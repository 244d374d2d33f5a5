/** Which process is which. A pid alone is not enough: it may be reused, and a dead child stays visible as a zombie. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { pause } from './time.js';

export interface ProcessIdentity {
  pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks after boot. */
  startTime: string;
  /** Of the host, without which the start time means nothing. */
  bootId: string;
}

/** Linux shows times to programs in 1/100 s on every architecture that runs Node. */
const ticksPerSecond = 100;

export function hostBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}

interface ProcessStatus {
  state: string;
  startTime: string;
  cpuSeconds: number;
}

function readStatus(pid: number): ProcessStatus | undefined {
  const text = read(`/proc/${pid}/stat`);
  // The second field is the program's name in parentheses, which may hold anything.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  if (fields === undefined) return undefined;
  const [state, startTime] = [fields[0], fields[19]];
  if (state === undefined || startTime === undefined) return undefined;
  const ticks = Number(fields[11]) + Number(fields[12]);
  return { state, startTime, cpuSeconds: ticks / ticksPerSecond };
}

function exists(status: ProcessStatus | undefined): status is ProcessStatus {
  return status !== undefined && status.state !== 'Z' && status.state !== 'X';
}

export function identify(pid: number): ProcessIdentity | undefined {
  const status = readStatus(pid);
  return exists(status) ? { pid, startTime: status.startTime, bootId: hostBootId() } : undefined;
}

export function isAlive(process: ProcessIdentity): boolean {
  const status = readStatus(process.pid);
  return exists(status) && status.startTime === process.startTime && hostBootId() === process.bootId;
}

/** CPU time used so far; undefined when the process is gone. */
export function cpuSeconds(process: ProcessIdentity): number | undefined {
  return isAlive(process) ? readStatus(process.pid)?.cpuSeconds : undefined;
}

/** SIGKILL, if it is still that process. */
export function killProcess(identity: ProcessIdentity): void {
  if (!isAlive(identity)) return;
  try {
    process.kill(identity.pid, 'SIGKILL');
  } catch {
    // It ended between the look and the signal.
  }
}

export async function waitGone(identity: ProcessIdentity, ms: number): Promise<boolean> {
  const deadline = Date.now() + ms;
  while (isAlive(identity)) {
    if (Date.now() > deadline) return false;
    await pause(20);
  }
  return true;
}

/**
 * The QEMU that works in `folder` (a real path) as `guest=<id>`: the one that its pid file names, else, with `search`,
 * any process of the host. For a server whose process was started but not yet written down.
 */
export function findEmulator(folder: string, id: string, search: boolean): ProcessIdentity | undefined {
  const named = Number(read(`${folder}/qemu.pid`));
  const pids = Number.isInteger(named) && named > 1 ? [named] : [];
  if (search)
    pids.push(
      ...readdirSync('/proc')
        .map(Number)
        .filter((pid) => Number.isInteger(pid) && pid > 1),
    );
  for (const pid of pids) {
    if (!worksIn(pid, folder)) continue;
    // An operator's shell may be in the folder too; only the emulator has this argument.
    if (read(`/proc/${pid}/cmdline`)?.split('\0').includes(`guest=${id}`) !== true) continue;
    const identity = identify(pid);
    if (identity !== undefined) return identity;
  }
  return undefined;
}

function worksIn(pid: number, folder: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === folder;
  } catch {
    return false;
  }
}
