/** Keeps the recorded power states equal to what the regions report: by a full look at the start, then by their events. */
import type { ObservationData } from '../data/observation.js';
import type { OpenRegion } from '../data/region.js';
import type { Log } from '../model/log.js';
import type { ServerEvent } from '../region/provider.js';

export class Observer {
  readonly #data: ObservationData;
  readonly #regions: readonly OpenRegion[];
  readonly #log: Log;
  readonly #controller = new AbortController();
  readonly #unwatch: (() => void)[] = [];
  /** Newest event of each server that is not yet stored: writes of one server keep their order. */
  readonly #waiting = new Map<string, ServerEvent>();
  readonly #storing = new Map<string, Promise<void>>();
  #looking: Promise<void> = Promise.resolve();

  constructor(data: ObservationData, open: readonly OpenRegion[], log: Log) {
    this.#data = data;
    this.#regions = open;
    this.#log = log;
  }

  start(): void {
    for (const region of this.#regions) {
      this.#unwatch.push(
        region.provider.watch((event) => {
          this.#waiting.set(event.id, event);
          if (!this.#storing.has(event.id)) this.#storing.set(event.id, this.#drain(event.id));
        }),
      );
    }
    this.#looking = this.#look();
  }

  async stop(): Promise<void> {
    this.#controller.abort();
    for (const unwatch of this.#unwatch) unwatch();
    await this.#looking;
    await Promise.all(this.#storing.values());
  }

  async #drain(id: string): Promise<void> {
    for (let event = this.#waiting.get(id); event !== undefined; event = this.#waiting.get(id)) {
      this.#waiting.delete(id);
      try {
        if (event.observation === undefined) await this.#data.recordAbsence(id);
        else await this.#data.record(event.observation);
      } catch (error) {
        this.#log.warn({ err: error, instanceId: id }, 'cannot record what the region reports');
      }
    }
    this.#storing.delete(id);
  }

  async #look(): Promise<void> {
    for (const region of this.#regions) {
      try {
        await this.#compare(region);
      } catch (error) {
        if (!this.#controller.signal.aborted)
          this.#log.warn({ err: error, region: region.name }, 'cannot observe the region');
      }
    }
  }

  async #compare(region: OpenRegion): Promise<void> {
    const { signal } = this.#controller;
    for await (const page of this.#data.instances(region.id)) {
      signal.throwIfAborted();
      const made = page.filter(({ value }) => value.provisioning.status === 'provisioned');
      const ids = made.map(({ id }) => id);
      if (ids.length === 0) continue;
      const seen = new Map(
        (await region.provider.describeServers(ids, signal)).map((server) => [server.id, server]),
      );
      for (const id of ids) {
        const observation = seen.get(id);
        if (observation === undefined) await this.#data.recordAbsence(id);
        else await this.#data.record(observation);
      }
    }
  }
}
