/** Names a process so that another one on the same machine can tell that it is dead, without waiting for its lease. */
import { readFileSync, readlinkSync } from 'node:fs';
import { readProcessStat } from '../platform/process-stat.js';

/** Boot and process namespace: within one pair, a process id means the same to everybody. */
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
 * `past`: of another boot, and so of another machine or dead. `foreign`: a living or dead process that cannot be seen from
 * here, such as that of another container.
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

/** True only when it is certain: the owner was a process of this machine and boot, and is no more. */
export function isDeadOwner(owner: string): boolean {
  return fateOf(owner) === 'dead';
}
