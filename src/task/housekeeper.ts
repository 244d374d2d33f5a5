/** The site's periodic jobs: expired instances are deleted, and old records removed. */
import type { Caller } from '../data/caller.js';
import type { EventData } from '../data/event.js';
import type { ExpiryData } from '../data/expiry.js';
import type { IdempotencyData } from '../data/idempotency.js';
import type { TaskQueue } from '../data/queue.js';
import type { Log } from '../model/log.js';
import type { Job } from './schedule.js';

export interface HousekeeperOptions {
  /** Ms between two sweeps for instances that expire. */
  sweep: number;
  /** Ms for which ended tasks are stored. */
  keep: number;
  /** Ms for which events are stored. */
  keepEvents: number;
}

/** Removals are less urgent than work that users wait for. */
const cleanupFactor = 10;

export interface HousekeeperParts {
  events: EventData;
  expiry: ExpiryData;
  idempotency: IdempotencyData;
  queue: TaskQueue;
  /** Releases the store's unused space, a little at each run. */
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
      intervalMs: sweep,
      run: async (signal) => {
        const caller = scheduleCaller('expiry', signal);
        const now = Date.now();
        // What is marked now is deleted by the next sweep at the earliest, so that followers of the events learn of it.
        told(await expiry.deleteExpired(caller, now), 'instances have expired and are being deleted');
        told(await expiry.warn(caller, now), 'instances are about to expire');
      },
    },
    {
      name: 'tasks',
      intervalMs: cleanupFactor * sweep,
      run: async (signal) => told(await queue.purge(Date.now() - keep, signal), 'removed old tasks'),
    },
    {
      name: 'idempotency',
      intervalMs: cleanupFactor * sweep,
      run: async (signal) =>
        told(await idempotency.purge(Date.now(), signal), 'removed old stored responses'),
    },
    // These two are one write each, with nothing after it that would require the lease.
    {
      name: 'events',
      intervalMs: cleanupFactor * sweep,
      run: async () => told(await events.trim(Date.now() - keepEvents), 'removed old events'),
    },
    { name: 'store', intervalMs: cleanupFactor * sweep, run: tidyStore },
  ];
}

/** The principal of scheduled work. Its id belongs to no user. */
function scheduleCaller(job: string, signal: AbortSignal): Caller {
  const principal = { id: '00000000-0000-0000-0000-000000000000', name: 'schedule', superUser: true };
  return { principal, requestId: `schedule-${job}`, signal };
}
