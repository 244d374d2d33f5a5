/** Names a process so that another one on the same machine can tell that it is dead, without waiting for its lease. */
import { readFileSync, readlinkSync } from 'node:fs';

/** Boot and process namespace: within one pair, a process id means the same to everybody. */
function place(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return 'unknown';
  }
}

/**
 * Start time of a living process in clock ticks since boot (proc(5), field 22), undefined if there is none. Throws when
 * that cannot be told: too many files are open, say, or the host hides the processes of other users.
 */
function startTime(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    if (isGone(pid)) return undefined;
    throw error;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? undefined : fields[19];
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
}

export function ownerName(): string {
  const here = place();
  const start = here === 'unknown' ? undefined : startTime(process.pid);
  return JSON.stringify({ place: here, pid: process.pid, start: start ?? '' });
}

/**
 * `past`: of another boot, and so of another machine or dead. `foreign`: a living or dead process that cannot be seen from
 * here, such as that of another container.
 */
export type OwnerFate = 'alive' | 'dead' | 'past' | 'foreign';

export function fateOf(owner: string): OwnerFate {
  const here = place();
  try {
    const named = JSON.parse(owner) as { place: string; pid: number; start: string };
    if (here === 'unknown' || named.place === 'unknown') return 'foreign';
    if (named.place === here) return startTime(named.pid) === named.start ? 'alive' : 'dead';
    return bootOf(named.place) === bootOf(here) ? 'foreign' : 'past';
  } catch {
    return 'foreign';
  }
}

function bootOf(named: string): string {
  return named.slice(0, named.indexOf(':'));
}

/** True only when it is certain: the owner was a process of this machine and boot, and is no more. */
export function isDeadOwner(owner: string): boolean {
  return fateOf(owner) === 'dead';
}
