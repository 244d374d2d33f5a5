/** What the regions report about servers, written into the instances. */
import type { InstanceRecord } from '../model/instance.js';
import type { ServerObservation } from '../region/provider.js';
import { instances } from './instance.js';
import type { Document, Store } from './store/port.js';
import { replace } from './store/port.js';
import { retrying } from './store/retry.js';

/** The instance with what was seen of its server. */
export function observed(instance: InstanceRecord, seen: ServerObservation): InstanceRecord {
  const { powerMessage, ...rest } = instance;
  return {
    ...rest,
    powerState: seen.powerState,
    ...(seen.message === undefined ? {} : { powerMessage: seen.message }),
    ...(seen.privateIP === undefined ? {} : { privateIP: seen.privateIP }),
    ...(seen.publicIP === undefined ? {} : { publicIP: seen.publicIP }),
    ...(seen.macAddress === undefined ? {} : { macAddress: seen.macAddress }),
  };
}

/** The instance whose server the region no longer has. */
export function vanished(instance: InstanceRecord): InstanceRecord {
  return { ...instance, powerState: 'Error', powerMessage: 'The region no longer has this machine.' };
}

export class ObservationData {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Stores the observation if it says anything new. Instances that are unknown or being deleted are left alone. */
  async record(seen: ServerObservation): Promise<void> {
    await this.#change(seen.id, (instance) => observed(instance, seen));
  }

  /** Stores that the server is gone, unless a task is at work, which knows better. */
  async recordAbsence(id: string): Promise<void> {
    await this.#change(id, (instance) => (instance.openTasks.length > 0 ? instance : vanished(instance)));
  }

  /** All instances of a region, page by page. */
  async *instances(regionId: string): AsyncGenerator<Document<InstanceRecord>[]> {
    let after: [string] | undefined;
    for (;;) {
      const page = await this.#store.page(instances, {
        order: 'id',
        filter: { region_id: regionId },
        limit: 500,
        ...(after === undefined ? {} : { after }),
      });
      const last = page.at(-1);
      if (last === undefined) return;
      yield page;
      after = [last.id];
    }
  }

  async exists(id: string): Promise<boolean> {
    return (await this.#store.get(instances, id)) !== undefined;
  }

  #change(id: string, change: (instance: InstanceRecord) => InstanceRecord): Promise<void> {
    return retrying(async () => {
      const instance = await this.#store.get(instances, id);
      if (instance === undefined || instance.value.deletionTime !== undefined) return;
      const next = change(instance.value);
      if (JSON.stringify(next) === JSON.stringify(instance.value)) return;
      await this.#store.write([replace(instances, instance, next)]);
    });
  }
}
