/** The site's regular jobs: what has expired goes, and what has served its time is removed. */
import type { Caller } from '../data/caller.js';
import type { EventData } from '../data/event.js';
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
  /** Ms that events are kept. */
  keepEvents: number;
}

/** Removals are less urgent than what users wait for. */
const calm = 10;

export interface HousekeeperParts {
  events: EventData;
  expiry: ExpiryData;
  idempotency: IdempotencyData;
  queue: TaskQueue;
  /** Gives the store's unused space back, a little at each round. */
  tidyStore: () => Promise<void>;
}

export function housekeeping(
  { events, expiry, idempotency, queue, tidyStore }: HousekeeperParts,
  { sweep, keep, keepEvents }: HousekeeperOptions,
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
        // What is marked now goes with the next sweep at the earliest: whoever follows the events gets to know.
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
      run: async (signal) =>
        told(await idempotency.purge(Date.now(), signal), 'removed old stored responses'),
    },
    // These two are one write each, with nothing after it that the loss of the turn could forbid.
    {
      name: 'events',
      every: calm * sweep,
      run: async () => told(await events.trim(Date.now() - keepEvents), 'removed old events'),
    },
    { name: 'store', every: calm * sweep, run: tidyStore },
  ];
}

/** In whose name the schedule works. Its id is nobody's. */
function scheduleCaller(job: string, signal: AbortSignal): Caller {
  const principal = { id: '00000000-0000-0000-0000-000000000000', name: 'schedule', superUser: true };
  return { principal, requestId: `schedule-${job}`, signal };
}
