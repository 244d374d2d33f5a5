/** The site's periodic jobs: expired instances are deleted, and old records removed. */
import type { EventData } from '../data/event.js';
import type { ExpiryData } from '../data/expiry.js';
import type { IdempotencyData } from '../data/idempotency.js';
import type { LabelData } from '../data/label.js';
import type { TaskQueue } from '../data/queue.js';
import type { SessionData } from '../data/session.js';
import type { Log } from '../model/log.js';
import type { Job } from './schedule.js';
import { siteCaller } from './site-caller.js';

export interface HousekeeperOptions {
  /** Ms between two sweeps for instances that expire. */
  sweep: number;
  /** Ms for which ended tasks are stored. */
  keep: number;
  /** Ms for which events are stored. */
  keepEvents: number;
  /** Ms for which deliveries are stored. */
  keepDeliveries: number;
}

/** Removals are less urgent than work that users wait for. */
const cleanupFactor = 10;

export interface HousekeeperParts {
  events: EventData;
  expiry: ExpiryData;
  idempotency: IdempotencyData;
  labels: LabelData;
  queue: TaskQueue;
  sessions: SessionData;
  /** Continues what hooks have begun. */
  sweepHooks: (signal: AbortSignal) => Promise<void>;
  /** Removes deliveries made before a time (ms since 1970); returns how many. */
  purgeDeliveries: (before: number, signal: AbortSignal) => Promise<number>;
  /** Releases the store's unused space, a little at each run. */
  tidyStore: () => Promise<void>;
}

export function housekeeping(parts: HousekeeperParts, options: HousekeeperOptions, log: Log): Job[] {
  const { events, expiry, idempotency, labels, queue, sessions, tidyStore } = parts;
  const { sweep, keep, keepEvents } = options;
  const told = (count: number, what: string) => {
    if (count > 0) log.info({ count }, what);
  };
  return [
    {
      name: 'expiry',
      intervalMs: sweep,
      run: async (signal) => {
        const caller = siteCaller('expiry', signal);
        const now = Date.now();
        // What is marked now is deleted by the next sweep at the earliest, so that followers of the events learn of it.
        told(await expiry.deleteExpired(caller, now), 'instances have expired and are being deleted');
        told(await expiry.warn(caller, now), 'instances are about to expire');
        told(await expiry.emptyTrash(caller, now), 'instances leave the trash and are being deleted');
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
    ...ofHooks(parts, options, told),
    {
      name: 'labels',
      intervalMs: cleanupFactor * sweep,
      run: async (signal) =>
        told(await labels.completeDeletions(siteCaller('labels', signal)), 'completed deletions of labels'),
    },
    {
      name: 'sessions',
      intervalMs: cleanupFactor * sweep,
      run: async (signal) => told(await sessions.purge(Date.now(), signal), 'removed ended sessions'),
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

/** What hooks have begun, and what webhooks have left. */
function ofHooks(
  { sweepHooks, purgeDeliveries }: HousekeeperParts,
  { sweep, keepDeliveries }: HousekeeperOptions,
  told: (count: number, what: string) => void,
): Job[] {
  return [
    { name: 'hooks', intervalMs: sweep, run: sweepHooks },
    {
      name: 'deliveries',
      intervalMs: cleanupFactor * sweep,
      run: async (signal) =>
        told(await purgeDeliveries(Date.now() - keepDeliveries, signal), 'removed old deliveries'),
    },
  ];
}
