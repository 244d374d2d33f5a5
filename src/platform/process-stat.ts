/** What the system reports about a process: the only reader of /proc/PID/stat (proc(5)). */
import { readFileSync } from 'node:fs';

export interface ProcessStat {
  /** Field 22: clock ticks after boot. A pid may be reused; with the start time it names one process. */
  startTime: string;
  cpuSeconds: number;
}

/** Linux reports times in 1/100 s on every architecture that runs Node. */
const ticksPerSecond = 100;

/**
 * Undefined: there is no such living process. Throws the system's error if that cannot be determined, for example
 * because too many files are open or the host hides the processes of other users (hidepid of proc(5)).
 */
export function readProcessStat(pid: number): ProcessStat | undefined {
  try {
    return statIn(`/proc/${pid}`);
  } catch (error) {
    if (isGone(pid)) return undefined;
    throw error;
  }
}

/** The status of the process whose folder in /proc this is. Undefined: it is dead and only waits for its parent. */
export function statIn(folder: string): ProcessStat | undefined {
  const text = readFileSync(`${folder}/stat`, 'latin1');
  // The second field is the program's name in parentheses, which may contain anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, startTime] = [fields[0], fields[19]];
  if (state === undefined || startTime === undefined || state === 'Z' || state === 'X') return undefined;
  return { startTime, cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond };
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
}
