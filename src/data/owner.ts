/** Identifies a process so that another one on the same machine can detect its death without waiting for its lease. */
import { readFileSync, readlinkSync } from 'node:fs';
import { readProcessStat } from '../platform/process-stat.js';

/** Boot and pid namespace: within one pair, a process id means the same to every process. */
function place(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return 'unknown';
  }
}

export function ownerName(): string {
  const here = place();
  const start = here === 'unknown' ? undefined : readProcessStat(process.pid)?.startTime;
  return JSON.stringify({ place: here, pid: process.pid, start: start ?? '' });
}

/**
 * `past`: of another boot, so on another machine or dead. `foreign`: a living or dead process that is not visible from
 * here, such as one in another container.
 */
export type OwnerFate = 'alive' | 'dead' | 'past' | 'foreign';

export function fateOf(owner: string): OwnerFate {
  const here = place();
  try {
    const named = JSON.parse(owner) as { place: string; pid: number; start: string };
    if (here === 'unknown' || named.place === 'unknown') return 'foreign';
    if (named.place === here) return readProcessStat(named.pid)?.startTime === named.start ? 'alive' : 'dead';
    return bootOf(named.place) === bootOf(here) ? 'foreign' : 'past';
  } catch {
    return 'foreign';
  }
}

function bootOf(named: string): string {
  return named.slice(0, named.indexOf(':'));
}

/** True only if it is certain that the owner was a process of this machine and boot, and is dead. */
export function isDeadOwner(owner: string): boolean {
  return fateOf(owner) === 'dead';
}
