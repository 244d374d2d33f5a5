/**
 * Keeps the recorded power states equal to what the regions report: by a full pass at startup, then by their events.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ObservationData, Sight } from '../data/observation.js';
import type { OpenRegion } from '../data/region.js';
import { isOutage } from '../model/error.js';
import type { Log } from '../model/log.js';
import type { ServerObservation } from '../region/provider.js';

/** Milliseconds after which what could not be stored in an outage is retried. */
const again = 500;

export class Observer {
  readonly #data: ObservationData;
  readonly #regions: readonly OpenRegion[];
  readonly #log: Log;
  readonly #controller = new AbortController();
  readonly #unwatch: (() => void)[] = [];
  /** The newest event of each server that is not yet stored: writes for one server keep their order. */
  readonly #waiting = new Map<string, Sight>();
  readonly #storing = new Map<string, Promise<void>>();
  #firstPass: Promise<void> = Promise.resolve();

  constructor(data: ObservationData, open: readonly OpenRegion[], log: Log) {
    this.#data = data;
    this.#regions = open;
    this.#log = log;
  }

  start(): void {
    for (const region of this.#regions) {
      this.#unwatch.push(
        region.provider.watch(({ id, observation }) => {
          this.#waiting.set(id, this.#sight(region, id, observation, performance.now()));
          if (!this.#storing.has(id)) this.#storing.set(id, this.#drain(id));
        }),
      );
    }
    this.#firstPass = this.#observeAll();
  }

  async stop(): Promise<void> {
    this.#controller.abort();
    for (const unwatch of this.#unwatch) unwatch();
    await this.#firstPass;
    await Promise.all(this.#storing.values());
  }

  #sight(region: OpenRegion, id: string, seen: ServerObservation | undefined, at: number): Sight {
    const again = async () => (await region.provider.describeServers([id], this.#controller.signal))[0];
    return { id, seen, at, again };
  }

  async #drain(id: string): Promise<void> {
    for (let sight = this.#waiting.get(id); sight !== undefined; sight = this.#waiting.get(id)) {
      this.#waiting.delete(id);
      try {
        await this.#data.record(sight);
      } catch (error) {
        this.#log.warn({ err: error, instanceId: id }, 'cannot record what the region reports');
        // The region reports it once. A later event of the same server supersedes it.
        if (await this.#outlasts(error)) this.#waiting.set(id, this.#waiting.get(id) ?? sight);
      }
    }
    this.#storing.delete(id);
  }

  async #observeAll(): Promise<void> {
    for (const region of this.#regions) {
      let done = false;
      while (!done) {
        try {
          await this.#compare(region);
          done = true;
        } catch (error) {
          if (!this.#controller.signal.aborted)
            this.#log.warn({ err: error, region: region.name }, 'cannot observe the region');
          done = !(await this.#outlasts(error));
        }
      }
    }
  }

  /** After a store outage has lasted for a while: whether another attempt makes sense. */
  async #outlasts(error: unknown): Promise<boolean> {
    const { signal } = this.#controller;
    if (!isOutage(error)) return false;
    await sleep(again, undefined, { signal }).catch(() => undefined);
    return !signal.aborted;
  }

  async #compare(region: OpenRegion): Promise<void> {
    const { signal } = this.#controller;
    for await (const page of this.#data.instances(region.id, signal)) {
      signal.throwIfAborted();
      const made = page.filter(({ value }) => value.provisioning.status === 'provisioned');
      const ids = made.map(({ id }) => id);
      if (ids.length === 0) continue;
      const at = performance.now();
      const seen = new Map(
        (await region.provider.describeServers(ids, signal)).map((server) => [server.id, server]),
      );
      for (const id of ids) await this.#data.record(this.#sight(region, id, seen.get(id), at));
    }
  }
}
