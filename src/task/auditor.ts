/** Follows the change log, in one process of the site at a time, and records what users ask of instances. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ChangeFeed, Follower } from '../data/change-feed.js';
import type { TaskAuditData } from '../data/task-audit.js';
import type { Log } from '../model/log.js';
import type { Job } from './schedule.js';

/** Ms after news, so that requests that come together are recorded together: one by one, each costs twice as much. */
const gathering = 200;
/** Ms after which it reads without news. */
const pause = 10_000;

export function auditing(data: TaskAuditData, feed: ChangeFeed, log: Log): Job {
  return {
    name: 'audit',
    intervalMs: 1000,
    // As long as this process has the lease. What is not recorded by then, another process or the next start records.
    run: async (signal) => {
      const follower = new Follower(feed);
      try {
        while (!signal.aborted) {
          follower.mark();
          await recordAll(data, signal, log);
          await follower.wait(pause, signal);
          await sleep(gathering, undefined, { signal, ref: false }).catch(() => undefined);
        }
      } finally {
        follower.leave();
      }
    },
  };
}

async function recordAll(data: TaskAuditData, signal: AbortSignal, log: Log): Promise<void> {
  for (let more = true; more && !signal.aborted;) {
    const recorded = await data.recordNext();
    more = recorded.more;
    if (recorded.lost > 0)
      log.warn(
        { changes: recorded.lost },
        'the audit trail lacks requests that were dropped with old events',
      );
  }
}
