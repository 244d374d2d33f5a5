/** Turns events into deliveries, in one process of the site at a time, and opens the tasks that send them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ChangeFeed, Follower } from '../data/change-feed.js';
import type { DispatchData } from '../data/dispatch.js';
import type { Store } from '../data/store/port.js';
import { openDue } from '../data/webhook.js';
import type { Job } from './schedule.js';
import { siteCaller } from './site-caller.js';

/** Ms between two passes when nothing is announced. */
const idle = 2000;
/** Ms between two passes in any case: what happens together is told together. */
const rest = 50;

export function webhookDispatch(store: Store, data: DispatchData, feed: ChangeFeed): Job {
  return {
    name: 'webhooks',
    intervalMs: 1000,
    // As long as this process has the lease.
    run: async (signal) => {
      const follower = new Follower(feed);
      const actor = siteCaller('webhooks', signal);
      try {
        while (!signal.aborted) {
          follower.mark();
          while (await data.pass(actor)) signal.throwIfAborted();
          const next = await openDue(store, actor);
          await follower.wait(Math.min(idle, Math.max(rest, (next ?? Infinity) - Date.now())), signal);
          await sleep(rest, undefined, { signal, ref: false }).catch(() => undefined);
        }
      } finally {
        follower.leave();
      }
    },
  };
}
