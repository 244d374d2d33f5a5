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

/** Start time of a living process in clock ticks since boot (proc(5), field 22), undefined if there is none. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export function ownerName(): string {
  return JSON.stringify({ place: place(), pid: process.pid, start: startTime(process.pid) ?? '' });
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
