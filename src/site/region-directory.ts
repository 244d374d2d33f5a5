/** Finds the regions of the site: those that this process drives, and those of other processes. */
import { isDeepStrictEqual } from 'node:util';
import { CatalogData } from '../data/catalog.js';
import { type OpenRegion, regions, type RegionSource } from '../data/region.js';
import type { Store } from '../data/store/port.js';
import type { WorkerData, WorkerRecord } from '../data/worker.js';
import type { Log } from '../model/log.js';
import type { RegionType } from '../model/region.js';
import { RemoteRegion } from '../region/remote/index.js';

/** Between checks for workers that came, moved or left. */
const refreshIntervalMs = 2000;
/** Between two checks that workers respond. */
const probeIntervalMs = 10_000;

/** A region to call, and its address; without one it cannot be called. */
type Wanted = Pick<WorkerRecord, 'regionId' | 'address' | 'features'>;

/** The regions that this process drives, and those of the workers that have registered. */
export class RegionDirectory implements RegionSource {
  readonly #driven: ReadonlyMap<string, OpenRegion>;
  readonly #store: Store;
  readonly #workers: WorkerData;
  readonly #secret: Buffer;
  readonly #log: Log;
  readonly #catalogs: CatalogData;
  readonly #orphans: boolean;
  #remote = new Map<string, OpenRegion & { provider: RemoteRegion }>();
  #nextProbe = 0;
  #timer: NodeJS.Timeout | undefined;
  #refreshing: Promise<void> | undefined;
  #closed = false;

  /** `orphans`: also list regions that were driven before, but that no worker has registered. */
  constructor(
    driven: readonly OpenRegion[],
    store: Store,
    workerData: WorkerData,
    secret: Buffer,
    log: Log,
    { orphans = false } = {},
  ) {
    this.#catalogs = new CatalogData(store);
    this.#orphans = orphans;
    this.#driven = new Map(driven.map((region) => [region.id, region]));
    this.#store = store;
    this.#workers = workerData;
    this.#secret = secret;
    this.#log = log;
  }

  all(): OpenRegion[] {
    const remote = [...this.#remote.values()];
    return [...this.#driven.values(), ...remote].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  find(id: string): OpenRegion | undefined {
    return this.#driven.get(id) ?? this.#remote.get(id);
  }

  async start(): Promise<void> {
    await this.#refresh();
    this.#plan();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#refreshing;
  }

  #plan(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#refreshing = this.#refresh()
        .catch((error: unknown) => this.#log.warn({ err: error }, 'cannot check for workers'))
        .finally(() => this.#plan());
    }, refreshIntervalMs);
  }

  async #refresh(): Promise<void> {
    const found = new Map<string, OpenRegion & { provider: RemoteRegion }>();
    const registered = await this.#workers.all();
    const wanted: Wanted[] = [...registered, ...(this.#orphans ? await this.#without(registered) : [])];
    for (const { regionId, address, features } of wanted) {
      if (this.#driven.has(regionId)) continue;
      const known = this.#remote.get(regionId);
      if (known?.provider.address === address && isDeepStrictEqual(known.provider.features, features)) {
        found.set(regionId, known);
        continue;
      }
      const region = await this.#described(regionId);
      if (region === undefined) continue;
      const kept = () => this.#catalogs.of(regionId);
      const options = { regionId, type: region.type, features, address, secret: this.#secret, kept };
      // A worker that comes back under another address keeps its catalog.
      const provider = known?.provider.moved(options) ?? new RemoteRegion(options);
      found.set(regionId, { id: regionId, name: region.name, creationTime: region.creationTime, provider });
    }
    this.#remote = found;
    this.#probe(found);
  }

  async #described(
    id: string,
  ): Promise<{ name: string; type: RegionType; creationTime: string } | undefined> {
    return (await this.#store.get(regions, id))?.value;
  }

  /** Regions of the site that no worker has registered. */
  async #without(registered: readonly { regionId: string }[]): Promise<Wanted[]> {
    const known = new Set(registered.map(({ regionId }) => regionId));
    const all = await this.#store.page(regions, { order: 'id', limit: 1000 });
    return all.flatMap(({ id, value: { features } }) =>
      known.has(id) || features === undefined ? [] : [{ regionId: id, address: '', features }],
    );
  }

  /** Checks in the background whether each of them responds: the list of regions shows it. */
  #probe(found: ReadonlyMap<string, { provider: RemoteRegion }>): void {
    if (performance.now() < this.#nextProbe) return;
    this.#nextProbe = performance.now() + probeIntervalMs;
    for (const { provider } of found.values()) void provider.isThere();
  }
}
