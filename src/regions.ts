/** Makes the configured region providers; the only file that knows which there are. */
import { join } from 'node:path';
import type { Config } from './config.js';
import type { OpenRegion } from './data/region.js';
import { setUpRegion } from './data/setup.js';
import type { Store } from './data/store/port.js';
import type { Log } from './model/log.js';
import { LocalRegion } from './region/local/index.js';
import type { RegionProvider } from './region/provider.js';
import { SimulatedRegion } from './region/simulated/index.js';

export interface RegionFailure {
  name: string;
  error: unknown;
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
  for (const name of config.regions) {
    const { id, creationTime } = await setUpRegion(store, name, name);
    const provider = makeProvider(name, id, config, dataDir, log.child({ region: name }));
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
  name: Config['regions'][number],
  regionId: string,
  config: Config,
  dataDir: string,
  log: Log,
): RegionProvider {
  if (name === 'simulated') {
    const memory = config.store === 'sqlite::memory:';
    const file = memory ? ':memory:' : join(dataDir, 'simulated.sqlite');
    return new SimulatedRegion({ regionId, file, ...config.simulated, log });
  }
  const imageDir = config.local.imageDir === '' ? join(dataDir, 'images') : config.local.imageDir;
  return new LocalRegion({ ...config.local, regionId, dataDir: join(dataDir, 'local'), imageDir, log });
}
