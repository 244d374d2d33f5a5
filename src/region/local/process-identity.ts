/**
 * Which process is which. A pid alone is no identity: it may be reused, a dead child stays visible as a zombie, and the
 * record that names it may have been copied with its folder. So whoever adopts or signals an emulator asks here, and an
 * emulator is proven by its start time, its name and the folder that it works in. (Its monitor is asked for the name too,
 * see emulator.ts.)
 */
import {
  closeSync,
  constants,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  type BigIntStats,
} from 'node:fs';
import { readProcessStat, statIn } from '../../platform/process-stat.js';
import { pause } from '../../platform/time.js';
import { RegionError } from '../provider.js';
import { reasonOf } from './file-fault.js';
import { errorCode } from './files.js';

export interface ProcessIdentity {
  pid: number;
  /** Clock ticks after boot. */
  startTime: string;
  /** Of the host, without which the start time means nothing. */
  bootId: string;
}

/** Whose emulator a process must prove to be. */
export interface Guest {
  id: string;
  /** The server's folder. Compared by device and inode: a folder that was moved is the same, a copy is another. */
  folder: string;
}

let bootId: string | undefined;

export function hostBootId(): string {
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  return bootId;
}

/** Undefined: it is gone. Throws the system's error when that cannot be told. */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readProcessStat(pid);
  return stat === undefined ? undefined : { pid, startTime: stat.startTime, bootId: hostBootId() };
}

/** False only if it is known to be gone. */
export function isAlive(process: ProcessIdentity): boolean {
  if (hostBootId() !== process.bootId) return false;
  try {
    return readProcessStat(process.pid)?.startTime === process.startTime;
  } catch {
    return true;
  }
}

/** CPU time used so far; undefined when the process is gone, or does not show it. */
export function cpuSeconds(process: ProcessIdentity): number | undefined {
  try {
    return isAlive(process) ? readProcessStat(process.pid)?.cpuSeconds : undefined;
  } catch {
    return undefined;
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
 * SIGKILL, if it still is that process and the guest's emulator. Proof and signal are one turn, with nothing in between.
 * Throws RegionError `transient` when it cannot be proven either way.
 */
export function killEmulator(identity: ProcessIdentity, guest: Guest): void {
  if (identity.bootId !== hostBootId() || prove(identity.pid, guest) !== identity.startTime) return;
  try {
    process.kill(identity.pid, 'SIGKILL');
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return;
    throw new RegionError(
      'transient',
      `The machine cannot be terminated: ${reasonOf(error) ?? 'it cannot be signalled'}.`,
      {
        cause: error,
      },
    );
  }
}

/** The processes of the host that carry the name of a guest, by its id: read once for many servers. */
export function namedGuests(): Map<string, number[]> {
  const guests = new Map<string, number[]>();
  let names: string[];
  try {
    names = readdirSync('/proc');
  } catch (error) {
    throw unclear(error);
  }
  for (const pid of names.map(Number)) {
    if (!Number.isInteger(pid) || pid < 2) continue;
    for (const word of commandLine(pid)) {
      if (!word.startsWith('guest=')) continue;
      const id = word.slice('guest='.length);
      guests.set(id, [...(guests.get(id) ?? []), pid]);
    }
  }
  return guests;
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch (error) {
    const code = errorCode(error);
    // It ended meanwhile, or the host hides what others run; the monitor's socket tells of those (see power.ts).
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(code ?? '')) return [];
    throw unclear(error);
  }
}

/**
 * The emulator of the guest, of those `among` the processes that carry its name. Undefined: there is none. Throws
 * RegionError `transient` when a process may be it, and does not let us see.
 */
export function findEmulator(
  guest: Guest,
  among: readonly number[] = namedGuests().get(guest.id) ?? [],
): ProcessIdentity | undefined {
  let doubt: RegionError | undefined;
  for (const pid of among) {
    try {
      const startTime = prove(pid, guest);
      if (startTime !== undefined) return { pid, startTime, bootId: hostBootId() };
    } catch (error) {
      doubt ??= error instanceof RegionError ? error : unclear(error, pid);
    }
  }
  if (doubt !== undefined) throw doubt;
  return undefined;
}

/**
 * The start time of the process if it is the guest's emulator; undefined if it is another, or gone. Throws RegionError
 * `transient` when that cannot be told.
 */
function prove(pid: number, guest: Guest): string | undefined {
  try {
    // Held open, so that all that is read is of one process: once it is gone, so is what is in the folder.
    const held = openSync(`/proc/${pid}`, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const folder = `/proc/self/fd/${held}`;
      const stat = statIn(folder);
      if (stat === undefined) return undefined;
      const named = readFileSync(`${folder}/cmdline`, 'utf8').split('\0').includes(`guest=${guest.id}`);
      return named && worksIn(folder, guest.folder) ? stat.startTime : undefined;
    } finally {
      closeSync(held);
    }
  } catch (error) {
    if (error instanceof RegionError) throw error;
    if (hasEnded(pid)) return undefined;
    throw unclear(error, pid);
  }
}

/** False also when that cannot be told. */
function hasEnded(pid: number): boolean {
  try {
    return readProcessStat(pid) === undefined;
  } catch {
    return false;
  }
}

function worksIn(process: string, folder: string): boolean {
  const home = folderAt(folder);
  const place = statSync(`${process}/cwd`, { bigint: true });
  if (home !== undefined) {
    if (home.dev === place.dev && home.ino === place.ino) return true;
    if (place.nlink > 0n) return false;
  }
  // Its folder was removed under it. One that lies there now is another; whose it is only the host's operator knows.
  if (readlinkSync(`${process}/cwd`) !== `${folder} (deleted)`) return false;
  if (home === undefined) return true;
  throw new RegionError(
    'transient',
    'A machine whose folder was replaced is still running; terminate it on its host.',
  );
}

function folderAt(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true });
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function unclear(cause: unknown, pid?: number): RegionError {
  const reason = reasonOf(cause) ?? 'the host gives no reason';
  const what =
    pid === undefined ? 'The processes of the host' : `The process ${pid}, which may be the machine,`;
  return new RegionError('transient', `${what} cannot be examined: ${reason}.`, { cause });
}
