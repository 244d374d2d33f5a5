import type { Caller } from '../data/caller.js';
import { siteId } from '../model/task.js';

/** The caller of work that the site does by itself. Its id belongs to no user. */
export function siteCaller(job: string, signal: AbortSignal): Caller {
  return {
    principal: { id: siteId, name: 'schedule', superUser: true },
    requestId: `schedule-${job}`,
    signal,
  };
}
