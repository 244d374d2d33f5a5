/** The site's regular jobs: what has expired goes, and what has served its time is removed. */
import type { Caller } from '../data/caller.js';
import type { ExpiryData } from '../data/expiry.js';
import type { IdempotencyData } from '../data/idempotency.js';
import type { TaskQueue } from '../data/queue.js';
import type { Log } from '../model/log.js';
import type { Job } from './schedule.js';

export interface HousekeeperOptions {
  /** Ms between two looks for instances that expire. */
  sweep: number;
  /** Ms that ended tasks are kept. */
  keep: number;
}

/** Removals are less urgent than what users wait for. */
const calm = 10;

export function housekeeping(
  { expiry, idempotency, queue }: { expiry: ExpiryData; idempotency: IdempotencyData; queue: TaskQueue },
  { sweep, keep }: HousekeeperOptions,
  log: Log,
): Job[] {
  const told = (count: number, what: string) => {
    if (count > 0) log.info({ count }, what);
  };
  return [
    {
      name: 'expiry',
      every: sweep,
      run: async (signal) => {
        const caller = scheduleCaller('expiry', signal);
        const now = Date.now();
        told(await expiry.deleteExpired(caller, now), 'instances have expired and are being deleted');
        told(await expiry.warn(caller, now), 'instances are about to expire');
      },
    },
    {
      name: 'tasks',
      every: calm * sweep,
      run: async (signal) => told(await queue.purge(Date.now() - keep, signal), 'removed old tasks'),
    },
    {
      name: 'idempotency',
      every: calm * sweep,
      run: async () => told(await idempotency.purge(Date.now()), 'removed old answers'),
    },
  ];
}

/** In whose name the schedule works. Its id is nobody's. */
function scheduleCaller(job: string, signal: AbortSignal): Caller {
  const principal = { id: '00000000-0000-0000-0000-000000000000', name: 'schedule', superUser: true };
  return { principal, requestId: `schedule-${job}`, signal };
}
