/**
 * The catalog of a region, as its worker last stored it: API processes check creates against it and list it while the
 * worker is away, even if they started later.
 */
import { isDeepStrictEqual } from 'node:util';
import { timestamp } from '../model/common.js';
import type { Flavor } from '../model/flavor.js';
import type { Image } from '../model/image.js';
import { type CollectionSpec, insert, replace, type Store } from './store/port.js';
import { retrying } from './store/retry.js';

export interface Catalog {
  flavors: Flavor[];
  images: Image[];
}

export interface CatalogRecord extends Catalog {
  /** When it last changed. */
  time: string;
}

/** The id is the id of the region. */
export const catalogs: CollectionSpec<CatalogRecord> = {
  name: 'catalogs',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

export class CatalogData {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async of(regionId: string): Promise<Catalog | undefined> {
    return (await this.#store.get(catalogs, regionId))?.value;
  }

  /** Stores it, if it differs from the stored one. */
  async keep(regionId: string, catalog: Catalog): Promise<void> {
    await retrying(async () => {
      const found = await this.#store.get(catalogs, regionId);
      const { flavors, images } = found?.value ?? {};
      if (isDeepStrictEqual({ flavors, images }, catalog)) return;
      const value = { ...catalog, time: timestamp() };
      await this.#store.write([
        found === undefined ? insert(catalogs, regionId, value) : replace(catalogs, found, value),
      ]);
    });
  }
}
