/**
 * Creates the configured region providers and finds those of other processes; the only file that knows the provider
 * types.
 */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type Config, ConfigError } from '../config.js';
import { CatalogData } from '../data/catalog.js';
import { bindRegion, checkIdentity, type OpenRegion, regions, type RegionSource } from '../data/region.js';
import { secretFor } from '../data/secret.js';
import { setUpRegion } from '../data/setup.js';
import type { Store } from '../data/store/port.js';
import type { WorkerData, WorkerRecord } from '../data/worker.js';
import type { Log } from '../model/log.js';
import type { RegionType } from '../model/region.js';
import { LocalRegion } from '../region/local/index.js';
import type { RegionProvider } from '../region/provider.js';
import { RemoteRegion } from '../region/remote/index.js';
import { SimulatedRegion } from '../region/simulated/index.js';
import { mustBeAlone } from './registration.js';

export interface RegionFailure {
  name: string;
  error: unknown;
}

class OtherType extends Error {
  override readonly name = 'OtherType';

  constructor(region: string, known: string) {
    super(
      `Region ${region} is of type ${known} in this store; start it as ${region}=${known}, or choose another name.`,
    );
  }
}

interface Named {
  name: string;
  type: 'local' | 'simulated';
}

function isDriven(type: string | undefined): type is Named['type'] {
  return type === 'local' || type === 'simulated';
}

/** `NAME=TYPE`, a type alone (also used as the name), or the name of a region that the store knows. */
async function partsOf(region: string, store: Store): Promise<Named> {
  const [name = '', given] = region.split('=');
  if (isDriven(given)) return { name, type: given };
  if (isDriven(name)) return { name, type: name };
  const known = (await store.find(regions, 'name', [name]))?.value.type;
  if (isDriven(known)) return { name, type: known };
  throw new ConfigError(
    `regions: the store knows no region "${name}" yet; add its type: ${name}=local or ${name}=simulated`,
  );
}

/** Opens every region that can be opened. If one fails, the others still run; if all fail, it is an error. */
export async function openRegions(
  config: Config,
  dataDir: string,
  store: Store,
  workers: WorkerData,
  log: Log,
): Promise<{ open: OpenRegion[]; failures: RegionFailure[] }> {
  const open: OpenRegion[] = [];
  const failures: RegionFailure[] = [];
  const wanted: Named[] = [];
  const secret = await secretFor(store, 'worker');
  for (const region of config.regions) wanted.push(await partsOf(region, store));
  for (const { name, type } of wanted) {
    const { id, creationTime, type: known } = await setUpRegion(store, name, type);
    const provider = makeProvider(name, type, id, config, dataDir, log.child({ region: name }));
    try {
      if (known !== type) throw new OtherType(name, known);
      await provider.open(async (identity) => {
        await checkIdentity(store, id, identity);
        await mustBeAlone(workers, { id, name }, secret);
      });
      await bindRegion(store, id, provider);
      open.push({ id, name, creationTime, provider });
    } catch (error) {
      await provider
        .close()
        .catch((closing: unknown) => log.warn({ err: closing, region: name }, 'cannot close the region'));
      log.error({ err: error, region: name }, 'the region cannot be opened');
      failures.push({ name, error });
    }
  }
  const [first] = failures;
  if (open.length === 0 && first !== undefined) {
    throw new Error(`Region ${first.name} cannot be opened: ${(first.error as Error).message}`, {
      cause: first.error,
    });
  }
  return { open, failures };
}

function makeProvider(
  name: string,
  type: 'local' | 'simulated',
  regionId: string,
  config: Config,
  dataDir: string,
  log: Log,
): RegionProvider {
  // A region named after its type has the folder that it had before regions could be named.
  const place = name === type ? type : `${type}-${name}`;
  if (type === 'simulated') {
    const memory = config.store === 'sqlite::memory:';
    const file = memory ? ':memory:' : join(dataDir, `${place}.sqlite`);
    return new SimulatedRegion({ regionId, file, ...config.simulated, log });
  }
  const imageDir = config.local.imageDir === '' ? join(dataDir, 'images') : config.local.imageDir;
  return new LocalRegion({ ...config.local, regionId, dataDir: join(dataDir, place), imageDir, log });
}

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
