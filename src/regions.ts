/** Makes the configured region providers and finds those of other processes; the only file that knows which there are. */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type Config, ConfigError } from './config.js';
import type { OpenRegion, RegionSource } from './data/region.js';
import { regions } from './data/region.js';
import { setUpRegion } from './data/setup.js';
import type { Store } from './data/store/port.js';
import type { WorkerData } from './data/worker.js';
import type { Log } from './model/log.js';
import { LocalRegion } from './region/local/index.js';
import type { RegionProvider } from './region/provider.js';
import { RemoteRegion } from './region/remote/index.js';
import { SimulatedRegion } from './region/simulated/index.js';

export interface RegionFailure {
  name: string;
  error: unknown;
}

interface Named {
  name: string;
  type: 'local' | 'simulated';
}

function isDriven(type: string | undefined): type is Named['type'] {
  return type === 'local' || type === 'simulated';
}

/** `NAME=TYPE`, a type alone, which is then the name too, or the name of a region that the store knows. */
async function partsOf(region: string, store: Store): Promise<Named> {
  const [name = '', given] = region.split('=');
  if (isDriven(given)) return { name, type: given };
  if (isDriven(name)) return { name, type: name };
  const known = (await store.find(regions, 'name', [name]))?.value.type;
  if (isDriven(known)) return { name, type: known };
  throw new ConfigError(
    `regions: the store knows no region "${name}" yet; give its type too: ${name}=local or ${name}=simulated`,
  );
}

/** Opens every region that can be opened. One that fails leaves the others running; none at all is an error. */
export async function openRegions(
  config: Config,
  dataDir: string,
  store: Store,
  log: Log,
): Promise<{ open: OpenRegion[]; failures: RegionFailure[] }> {
  const open: OpenRegion[] = [];
  const failures: RegionFailure[] = [];
  const wanted: Named[] = [];
  for (const region of config.regions) wanted.push(await partsOf(region, store));
  for (const { name, type } of wanted) {
    const { id, creationTime } = await setUpRegion(store, name, type);
    const provider = makeProvider(name, type, id, config, dataDir, log.child({ region: name }));
    try {
      await provider.open();
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
  // The region that is named as its type has the folder that it had before regions could be named.
  const place = name === type ? type : `${type}-${name}`;
  if (type === 'simulated') {
    const memory = config.store === 'sqlite::memory:';
    const file = memory ? ':memory:' : join(dataDir, `${place}.sqlite`);
    return new SimulatedRegion({ regionId, file, ...config.simulated, log });
  }
  const imageDir = config.local.imageDir === '' ? join(dataDir, 'images') : config.local.imageDir;
  return new LocalRegion({ ...config.local, regionId, dataDir: join(dataDir, place), imageDir, log });
}

/** Milliseconds between looks for workers that came, moved or left. */
const refreshInterval = 2000;

/** The regions that this process drives, and those of the workers that have registered. */
export class RegionDirectory implements RegionSource {
  readonly #driven: ReadonlyMap<string, OpenRegion>;
  readonly #store: Store;
  readonly #workers: WorkerData;
  readonly #secret: Buffer;
  readonly #log: Log;
  #remote = new Map<string, OpenRegion & { provider: RemoteRegion }>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #closed = false;

  constructor(driven: readonly OpenRegion[], store: Store, workerData: WorkerData, secret: Buffer, log: Log) {
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
    await this.#looking;
  }

  #plan(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#looking = this.#refresh()
        .catch((error: unknown) => this.#log.warn({ err: error }, 'cannot look for workers'))
        .finally(() => this.#plan());
    }, refreshInterval);
  }

  async #refresh(): Promise<void> {
    const found = new Map<string, OpenRegion & { provider: RemoteRegion }>();
    for (const worker of await this.#workers.all()) {
      const { regionId, address, features } = worker;
      if (this.#driven.has(regionId)) continue;
      const known = this.#remote.get(regionId);
      if (known?.provider.address === address && isDeepStrictEqual(known.provider.features, features)) {
        found.set(regionId, known);
        continue;
      }
      const region = await this.#store.get(regions, regionId);
      if (region === undefined) continue;
      const { name, type, creationTime } = region.value;
      const provider = new RemoteRegion({ regionId, type, features, address, secret: this.#secret });
      found.set(regionId, { id: regionId, name, creationTime, provider });
    }
    this.#remote = found;
  }
}
