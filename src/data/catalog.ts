/**
 * What a region offers, as its worker told it last: API processes check creates by it, and list it, while the worker is
 * away, also when they have started since.
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
  /** When it was found to be another one than before. */
  time: string;
}

/** The id is that of the region. */
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

  /** Keeps it, if it is not what is kept already. */
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
