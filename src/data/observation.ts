/** Writes what the regions report about servers into the instances. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { InstanceRecord } from '../model/instance.js';
import { observed, vanished } from '../model/observation.js';
import type { ServerObservation } from '../region/provider.js';
import { instances } from './instance.js';
import { type Document, replace, type Store } from './store/port.js';
import { retrying } from './store/retry.js';
import { instanceAfter } from './wish.js';

/** Milliseconds after which an observation of a server is repeated before it is stored. */
const staleAfter = 1000;

/** Instances that are observed together. */
const pageSize = 100;

/** The pause after a page, as a multiple of its CPU time: so a pass takes a fifth of one core. */
const rest = 4;
/** Maximum length of a pause in milliseconds. */
const longestPause = 1000;

/** An observation of a server, and its time. */
export interface Sight {
  id: string;
  /** Undefined: the region does not have it. */
  seen: ServerObservation | undefined;
  /** By this process's monotonic clock, in ms. */
  at: number;
  /** Observes it again. */
  again: () => Promise<ServerObservation | undefined>;
}

export class ObservationData {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Stores an observation, if it is new. Instances that are unknown or being deleted are left alone; a missing server
   * is not stored while a task is working on it, because the task knows better.
   */
  record(sight: Sight): Promise<void> {
    let { seen, at } = sight;
    let raced = false;
    return retrying(async () => {
      const instance = await this.#store.get(instances, sight.id);
      // After the read, whose revision guards the write: a process that was frozen must not write an outdated
      // observation, nor one that lost a race against, for example, a task that ended with a later one.
      if (raced || performance.now() - at > staleAfter) [seen, at] = [await sight.again(), performance.now()];
      raced = true;
      if (instance === undefined || instance.value.deletionTime !== undefined) return;
      if (agrees(instance.value, seen)) return;
      const next = instanceAfter(instance, applied(instance.value, seen));
      await this.#store.write([replace(instances, instance, next)]);
    });
  }

  /**
   * All instances of a region, page by page, with pauses: an embedded engine responds synchronously, so a large region
   * would block requests and accumulate memory until the end of the pass. Rejects with the signal's reason.
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

/** Pauses after work that began at this CPU time; other work of the process in between counts, too. */
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

/** Whether the observation contains nothing new. */
export function agrees(instance: InstanceRecord, seen: ServerObservation | undefined): boolean {
  return isDeepStrictEqual(applied(instance, seen), instance);
}

function applied(instance: InstanceRecord, seen: ServerObservation | undefined): InstanceRecord {
  if (seen !== undefined) return observed(instance, seen);
  return instance.openTasks.length > 0 ? instance : vanished(instance);
}
