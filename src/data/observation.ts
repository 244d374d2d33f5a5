/** What the regions report about servers, written into the instances. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { InstanceRecord } from '../model/instance.js';
import { observed, vanished } from '../model/observation.js';
import type { ServerObservation } from '../region/provider.js';
import { instances } from './instance.js';
import { type Document, replace, type Store } from './store/port.js';
import { retrying } from './store/retry.js';
import { instanceAfter } from './wish.js';

/** Milliseconds after which what was seen of a server is looked at again before it is stored. */
const staleAfter = 1000;

/** Instances that are looked at together. */
const pageSize = 100;

/** Times the processor's time that goes by with a page: the pause after it. So a look takes a fifth of one core. */
const rest = 4;
/** Milliseconds that a pause has at most. */
const longestPause = 1000;

/** What was seen of a server, and when. */
export interface Sight {
  id: string;
  /** Undefined: the region does not have it. */
  seen: ServerObservation | undefined;
  /** By this process's monotonic clock, in ms. */
  at: number;
  /** Looks once more. */
  again: () => Promise<ServerObservation | undefined>;
}

export class ObservationData {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Stores what was seen, if it says anything new. Instances that are unknown or being deleted are left alone; that a
   * server is gone is not stored while a task is at work, which knows better.
   */
  record(sight: Sight): Promise<void> {
    let { seen, at } = sight;
    let raced = false;
    return retrying(async () => {
      const instance = await this.#store.get(instances, sight.id);
      // After the read, whose revision guards the write: a process that was frozen must not write what was true before, nor
      // one that lost a race, to a task that has ended, say, and has seen more.
      if (raced || performance.now() - at > staleAfter) [seen, at] = [await sight.again(), performance.now()];
      raced = true;
      if (instance === undefined || instance.value.deletionTime !== undefined) return;
      if (agrees(instance.value, seen)) return;
      const next = instanceAfter(instance, applied(instance.value, seen));
      await this.#store.write([replace(instances, instance, next)]);
    });
  }

  /**
   * All instances of a region, page by page, with a pause between two: an embedded engine answers at once, so that a large
   * region would hold up requests and pile up memory until the end of the look. Rejects with the signal's reason.
   */
  async *instances(regionId: string, signal: AbortSignal): AsyncGenerator<Document<InstanceRecord>[]> {
    let after: [string] | undefined;
    for (;;) {
      const began = process.cpuUsage();
      const page = await this.#store.page(
        instances,
        {
          order: 'id',
          filter: { region_id: regionId },
          limit: pageSize,
          ...(after === undefined ? {} : { after }),
        },
        signal,
      );
      const last = page.at(-1);
      if (last === undefined) return;
      yield page;
      if (page.length < pageSize) return;
      await pause(began, signal);
      after = [last.id];
    }
  }

  async exists(id: string): Promise<boolean> {
    return (await this.#store.get(instances, id)) !== undefined;
  }
}

/** Rests after work that began at that count of processor time; what else the process did meanwhile counts, too. */
async function pause(began: NodeJS.CpuUsage, signal: AbortSignal): Promise<void> {
  const { user, system } = process.cpuUsage(began);
  const milliseconds = Math.min(longestPause, (rest * (user + system)) / 1000);
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

/** Whether what was seen says nothing new. */
export function agrees(instance: InstanceRecord, seen: ServerObservation | undefined): boolean {
  return isDeepStrictEqual(applied(instance, seen), instance);
}

function applied(instance: InstanceRecord, seen: ServerObservation | undefined): InstanceRecord {
  if (seen !== undefined) return observed(instance, seen);
  return instance.openTasks.length > 0 ? instance : vanished(instance);
}
