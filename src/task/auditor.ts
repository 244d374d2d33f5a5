/** Follows the change log, and records what users ask of instances in the audit trail. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ChangeFeed, Follower } from '../data/change-feed.js';
import type { TaskAuditData } from '../data/task-audit.js';
import type { Log } from '../model/log.js';

/** Milliseconds after news, so that requests that come together are recorded together. */
const gathering = 50;
/** Milliseconds after which it looks without news, and after a failure. */
const pause = 10_000;
const afterFailure = 1000;

export class Auditor {
  readonly #data: TaskAuditData;
  readonly #feed: ChangeFeed;
  readonly #log: Log;
  readonly #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(data: TaskAuditData, feed: ChangeFeed, log: Log) {
    this.#data = data;
    this.#feed = feed;
    this.#log = log;
  }

  async start(): Promise<void> {
    await this.#data.open();
    this.#loop = this.#follow();
  }

  /** What is not recorded yet, another process or the next start records. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stopping;
    const follower = new Follower(this.#feed);
    while (!signal.aborted) {
      follower.mark();
      const rest = (await this.#recordAll(signal)) ? gathering : afterFailure;
      await follower.wait(pause, signal);
      await sleep(rest, undefined, { signal, ref: false }).catch(() => undefined);
    }
    follower.leave();
  }

  async #recordAll(signal: AbortSignal): Promise<boolean> {
    try {
      for (let more = true; more && !signal.aborted;) {
        const recorded = await this.#data.recordNext();
        more = recorded.more;
        if (recorded.lost > 0)
          this.#log.warn(
            { changes: recorded.lost },
            'the audit trail lacks requests that were dropped with old events',
          );
      }
      return true;
    } catch (error) {
      if (!signal.aborted) this.#log.warn({ err: error }, 'cannot record requests in the audit trail');
      return false;
    }
  }
}
