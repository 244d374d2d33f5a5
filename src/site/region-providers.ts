/** Creates the configured region providers; the only file that knows the provider types. */
import { join } from 'node:path';
import { type Config, ConfigError } from '../config.js';
import { bindRegion, checkIdentity, type OpenRegion, regions } from '../data/region.js';
import { secretFor } from '../data/secret.js';
import { setUpRegion } from '../data/setup.js';
import type { Store } from '../data/store/port.js';
import type { WorkerData } from '../data/worker.js';
import type { Log } from '../model/log.js';
import { LocalRegion } from '../region/local/index.js';
import type { RegionProvider } from '../region/provider.js';
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
