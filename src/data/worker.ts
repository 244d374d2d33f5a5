/**
 * Which process drives which region, and where API processes reach it. A registration remains when its worker stops:
 * the region still exists, accepts work, and reports that it is unavailable.
 */
import { uuidv7 } from 'uuidv7';
import { timestamp } from '../model/common.js';
import type { RegionFeatures } from '../model/region.js';
import {
  type CollectionSpec,
  type Document,
  insert,
  replace,
  type Store,
  StoreConflict,
} from './store/port.js';
import { retrying } from './store/retry.js';

export interface WorkerRecord {
  regionId: string;
  /** Base URL of its server. */
  address: string;
  features: RegionFeatures;
  owner: string;
  startTime: string;
}

export const workers: CollectionSpec<WorkerRecord> = {
  name: 'workers',
  columns: { region_id: 'text' },
  columnsOf: (_id, worker) => ({ region_id: worker.regionId }),
  unique: { region: ['region_id'] },
  orders: { id: [] },
};

export class WorkerData {
  readonly #store: Store;
  readonly #owner: string;

  constructor(store: Store, owner: string) {
    this.#store = store;
    this.#owner = owner;
  }

  /** The last process to register for a region is the one that is called. */
  async register(worker: Pick<WorkerRecord, 'regionId' | 'address' | 'features'>): Promise<void> {
    const value = { ...worker, owner: this.#owner, startTime: timestamp() };
    await retrying(async () => {
      const found = await this.#found(worker.regionId);
      const write = found === undefined ? insert(workers, uuidv7(), value) : replace(workers, found, value);
      await this.#store.write([write]).catch((error: unknown) => {
        // Another process registered the region for the first time just now.
        if (error instanceof StoreConflict && error.kind === 'unique')
          throw new StoreConflict('revision', workers.name, worker.regionId);
        throw error;
      });
    });
  }

  async all(): Promise<WorkerRecord[]> {
    const page = await this.#store.page(workers, { order: 'id', limit: 1000 });
    return page.map(({ value }) => value);
  }

  /** The process that is called for the region. */
  async of(regionId: string): Promise<WorkerRecord | undefined> {
    return (await this.#found(regionId))?.value;
  }

  #found(regionId: string): Promise<Document<WorkerRecord> | undefined> {
    return this.#store.find(workers, 'region', [regionId]);
  }
}
