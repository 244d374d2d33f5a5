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

/** True only when it is certain: the owner was a process of this machine and boot, and is no more. */
export function isDeadOwner(owner: string): boolean {
  try {
    const named = JSON.parse(owner) as { place: string; pid: number; start: string };
    const here = place();
    if (here === 'unknown' || named.place !== here) return false;
    return startTime(named.pid) !== named.start;
  } catch {
    return false;
  }
}
