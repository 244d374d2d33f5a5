/** Stores the catalogs of this process's regions, for the API processes of the site while this one is away. */
import { isDeepStrictEqual } from 'node:util';
import type { Catalog, CatalogData } from '../data/catalog.js';
import type { OpenRegion } from '../data/region.js';
import type { Log } from '../model/log.js';

/** Between two reads of the catalog. */
const refreshIntervalMs = 5000;
/** Timeout of such a read. */
const timeoutMs = 10_000;

/** No particular user: only what everyone may see is stored. */
const nobody = { organizationId: '', projectIds: [] };

export class CatalogKeeper {
  readonly #data: CatalogData;
  readonly #regions: readonly OpenRegion[];
  readonly #log: Log;
  readonly #intervalMs: number;
  /** The catalog last stored, by region. */
  readonly #kept = new Map<string, Catalog>();
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #refreshing: Promise<void> = Promise.resolve();

  constructor(data: CatalogData, open: readonly OpenRegion[], log: Log, intervalMs = refreshIntervalMs) {
    this.#data = data;
    this.#regions = open;
    this.#log = log;
    this.#intervalMs = intervalMs;
  }

  /** Resolves when every catalog that could be read is stored. */
  async start(): Promise<void> {
    await this.#refresh();
    this.#plan();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await this.#refreshing;
  }

  #plan(): void {
    if (this.#closing.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#refreshing = this.#refresh().finally(() => this.#plan());
    }, this.#intervalMs).unref();
  }

  async #refresh(): Promise<void> {
    for (const { id, name, provider } of this.#regions) {
      try {
        const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(timeoutMs)]);
        const catalog = {
          flavors: await provider.listFlavors(nobody, signal),
          images: await provider.listImages(nobody, signal),
        };
        if (isDeepStrictEqual(this.#kept.get(id), catalog)) continue;
        await this.#data.keep(id, catalog);
        // A copy: what a provider returns belongs to it.
        this.#kept.set(id, structuredClone(catalog));
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        this.#log.warn({ err: error, region: name }, 'cannot store the catalog of the region');
      }
    }
  }
}
