/**
 * The identity of processes. A pid alone does not identify one: it may be reused, a dead child stays visible as a
 * zombie, and the record with the pid may have been copied with its folder. Before an emulator is adopted or signalled,
 * it is therefore verified here by its start time, its name and its working directory. (Its monitor is also asked for
 * the name, see emulator.ts.)
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
  /** The boot of the host, without which the start time means nothing. */
  bootId: string;
}

/** The guest whose emulator a process must prove to be. */
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

/** Undefined: it is gone. Throws the system's error if that cannot be determined. */
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

/** CPU time used so far; undefined if the process is gone, or the time is not visible. */
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
 * SIGKILL, if it is still that process and the guest's emulator. Check and signal are in one turn of the event loop,
 * with nothing in between. Throws RegionError `transient` if it cannot be verified either way.
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

/** The processes of the host with the name of a guest, by its id: read once for many servers. */
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
    // It ended in the meantime, or the host hides the processes of other users; those are detected by the monitor's
    // socket (see power.ts).
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(code ?? '')) return [];
    throw unclear(error);
  }
}

/** SIGKILL to what works in this folder. Only for a folder in which nothing but programs of this region ever works. */
export function endProcessesIn(folder: string): void {
  const home = folderAt(folder);
  if (home === undefined) return;
  for (const pid of readdirSync('/proc').map(Number)) {
    if (!Number.isInteger(pid) || pid < 2 || pid === process.pid) continue;
    try {
      const place = statSync(`/proc/${pid}/cwd`, { bigint: true });
      if (place.dev === home.dev && place.ino === home.ino) process.kill(pid, 'SIGKILL');
    } catch {
      // It ended, or belongs to another user, as nothing of this region does.
    }
  }
}

/**
 * The emulator of the guest, `among` the processes with its name. Undefined: there is none. Throws RegionError
 * `transient` if a process may be it but cannot be examined.
 */
export function findEmulator(
  guest: Guest,
  among: readonly number[] = namedGuests().get(guest.id) ?? [],
): ProcessIdentity | undefined {
  let firstError: RegionError | undefined;
  for (const pid of among) {
    try {
      const startTime = prove(pid, guest);
      if (startTime !== undefined) return { pid, startTime, bootId: hostBootId() };
    } catch (error) {
      firstError ??= error instanceof RegionError ? error : unclear(error, pid);
    }
  }
  if (firstError !== undefined) throw firstError;
  return undefined;
}

/**
 * The start time of the process if it is the guest's emulator; undefined if it is another one, or gone. Throws
 * RegionError `transient` if that cannot be determined.
 */
function prove(pid: number, guest: Guest): string | undefined {
  try {
    // Kept open, so that everything read belongs to one process: once the process is gone, so is the content of the
    // folder.
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

/** Also false if that cannot be determined. */
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
  // Its folder was removed from under it. A folder that is there now is another one, and only the host's operator knows
  // whose.
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
