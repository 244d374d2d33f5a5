/** Runs the site's periodic jobs when this process has their lease. */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ScheduleData, Turn } from '../data/schedule.js';
import type { Log } from '../model/log.js';

export interface Job {
  /** Identifies the job in the whole site. */
  name: string;
  /** Milliseconds from the end of one run to the next. */
  intervalMs: number;
  /** Does the job; aborted when the process stops or loses its lease. Must be repeatable. */
  run(signal: AbortSignal): Promise<void>;
}

/** Milliseconds before a release is retried; more each time. */
const firstPause = 100;

export class Schedule {
  readonly #data: ScheduleData;
  readonly #jobs: readonly Job[];
  readonly #lease: number;
  readonly #log: Log;
  readonly #stopping = new AbortController();
  #loops: Promise<void>[] = [];

  /** `lease` in ms, as in the data layer. */
  constructor(data: ScheduleData, jobs: readonly Job[], lease: number, log: Log) {
    this.#data = data;
    this.#jobs = jobs;
    this.#lease = lease;
    this.#log = log;
    // Each job waits with it, and there are more than the ten after which Node suspects a leak.
    setMaxListeners(0, this.#stopping.signal);
  }

  start(): void {
    this.#loops = this.#jobs.map((job) => this.#loop(job));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#loops);
  }

  async #loop(job: Job): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const wait = await this.#attempt(job);
      // Up to a tenth more, so that processes do not all poll at once.
      await sleep(wait * (1 + Math.random() / 10) + 1, undefined, { signal, ref: false }).catch(
        () => undefined,
      );
    }
  }

  /** Ms until the next poll. */
  async #attempt(job: Job): Promise<number> {
    try {
      const turn = await this.#data.take(job.name, job.intervalMs);
      if ('wait' in turn) return turn.wait;
      const lost = new AbortController();
      const beat = setInterval(() => {
        turn.keep().then(
          (ours) => {
            if (!ours) lost.abort();
          },
          (error: unknown) =>
            this.#log.warn({ err: error, job: job.name }, 'cannot renew the lease of a periodic job'),
        );
      }, this.#lease / 4);
      try {
        await job.run(AbortSignal.any([this.#stopping.signal, lost.signal]));
      } catch (error) {
        if (!this.#stopping.signal.aborted)
          this.#log.warn({ err: error, job: job.name }, 'a periodic job failed; it will be retried');
      } finally {
        clearInterval(beat);
      }
      await this.#end(turn, job);
    } catch (error) {
      this.#log.warn({ err: error, job: job.name }, 'cannot check a periodic job');
    }
    return job.intervalMs;
  }

  /** Retries while the store is unavailable: otherwise the next run would have to wait for the lease to expire. */
  async #end(turn: Turn, { name, intervalMs }: Job): Promise<void> {
    const { signal } = this.#stopping;
    for (let pause = firstPause; ; pause = Math.min(2 * pause, this.#lease / 4)) {
      try {
        await turn.end(intervalMs);
        return;
      } catch (error) {
        if (signal.aborted) throw error;
        this.#log.warn({ err: error, job: name }, 'cannot release the lease of a periodic job; retrying');
      }
      await sleep(pause, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }
}
