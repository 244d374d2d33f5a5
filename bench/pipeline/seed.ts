/**
 * The file that every server reads: created once through Copse's own store and collections, so that columns, values and
 * public texts are as in production, then cached in .cache/bench under a name derived from the sources that shape it.
 */
import { createHash } from 'node:crypto';
import {
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { uuidv7 } from 'uuidv7';
import { packageRoot } from '../../src/config.js';
import { collections } from '../../src/data/connector.js';
import { instances } from '../../src/data/instance.js';
import { migrateStore } from '../../src/data/migration/index.js';
import { networks } from '../../src/data/network.js';
import { projects } from '../../src/data/project.js';
import { secretFor } from '../../src/data/secret.js';
import { setUp, setUpRegion } from '../../src/data/setup.js';
import { insert, type Store } from '../../src/data/store/port.js';
import { SqliteStore } from '../../src/data/store/sqlite/sqlite.js';
import { UserData } from '../../src/data/user.js';
import { silentLog } from '../../src/model/log.js';
import type { InstanceRecord } from '../../src/model/instance.js';
import { makeCatalog } from '../../src/region/simulated/catalog.js';
import { openStore } from '../../src/site/stores.js';

export const adminKey = 'bench-key-0123456789-0123456789-0123456789';

/** The region that the program serves, in which POST creates. */
export const servedRegion = 'simulated';
/**
 * The region of the seeded instances. No process drives it, so that the observer does not check 100,000 machines during
 * the measurement.
 */
const seededRegion = 'elsewhere';

const batch = 1000;

function filesIn(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesIn(join(path, name)));
}

/** Changes when anything changes that affects the content of the file. */
function fingerprint(rows: number): string {
  const hash = createHash('sha256').update(String(rows));
  for (const path of ['src/data', 'src/model', 'src/region/simulated/catalog.ts', 'bench/pipeline/seed.ts']) {
    for (const file of filesIn(join(packageRoot(), path))) hash.update(file).update(readFileSync(file));
  }
  return hash.digest('hex').slice(0, 16);
}

function recordOf(number: number, ids: Ids, started: number): InstanceRecord {
  const { flavors, images } = ids;
  return {
    organizationId: ids.organizationId,
    projectId: ids.projectId,
    networkId: ids.networkId,
    regionId: ids.regionId,
    name: `instance-${String(number).padStart(7, '0')}`,
    description: `Number ${number} of a large fleet`,
    tags: [
      { name: 'fleet', value: `group-${number % 50}` },
      { name: 'tier', value: number % 3 === 0 ? 'web' : 'worker' },
    ],
    flavorId: flavors[number % flavors.length] ?? '',
    imageId: images[number % images.length] ?? '',
    creationTime: new Date(started + number * 10).toISOString(),
    createdBy: 'admin',
    provisioning: { status: 'provisioned' },
    desiredPower: 'running',
    powerState: 'Running',
    privateIP: `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`,
    macAddress: `52:54:00:${[16, 8, 0].map((shift) => hex((number >> shift) & 255)).join(':')}`,
    openTasks: [],
  };
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

interface Ids {
  organizationId: string;
  projectId: string;
  networkId: string;
  regionId: string;
  flavors: string[];
  images: string[];
}

async function environment(store: Store): Promise<Ids> {
  const users = new UserData(store, await secretFor(store, 'apikey'), () => ({
    superUsers: ['admin'],
    everyoneIsSuperUser: false,
  }));
  await setUp(store, users, { adminName: 'admin', adminKey });
  await setUpRegion(store, servedRegion, 'simulated');
  const { id: regionId } = await setUpRegion(store, seededRegion, 'simulated');
  const [project] = await store.page(projects, { order: 'id', limit: 1 });
  if (project === undefined) throw new Error('the set-up made no project');
  const network = await store.find(networks, 'name', [project.id, regionId, 'default']);
  if (network === undefined) throw new Error('the set-up made no network');
  const { flavors, images } = makeCatalog(regionId);
  return {
    organizationId: project.value.organizationId,
    projectId: project.id,
    networkId: network.id,
    regionId,
    flavors: flavors.map((flavor) => flavor.metadata.id),
    images: images.map((image) => image.metadata.id),
  };
}

async function fill(file: string, rows: number, say: (text: string) => void): Promise<void> {
  const store = new SqliteStore(file, collections);
  try {
    await migrateStore(store, silentLog);
    const ids = await environment(store);
    const started = Date.UTC(2026, 0, 1);
    for (let done = 0; done < rows; done += batch) {
      const numbers = Array.from({ length: Math.min(batch, rows - done) }, (_, index) => done + index);
      await store.write(numbers.map((number) => insert(instances, uuidv7(), recordOf(number, ids, started))));
      if ((done / batch) % 20 === 19) say(`  ${done + batch} of ${rows} instances`);
    }
  } finally {
    await store.close();
  }
}

/** The seeded file, created if it does not exist; files of other shapes are removed. */
export async function seededFile(rows: number, say: (text: string) => void): Promise<string> {
  const folder = join(packageRoot(), '.cache', 'bench');
  const name = `instances-${rows}-${fingerprint(rows)}.sqlite`;
  const file = join(folder, name);
  if (existsSync(file)) return file;
  mkdirSync(folder, { recursive: true });
  for (const old of readdirSync(folder)) {
    if (old.startsWith(`instances-${rows}-`)) rmSync(join(folder, old));
  }
  const unfinished = `${file}.${process.pid}`;
  say(`seeding ${rows} instances`);
  await fill(unfinished, rows, say);
  renameSync(unfinished, file);
  return file;
}

/** Migrates the file in a folder that another version seeded; returns its name. */
export async function migratedFile(folder: string): Promise<string> {
  const file = join(folder, 'copse.sqlite');
  const store = await openStore(`sqlite:${file}`, folder, collections);
  try {
    await migrateStore(store, silentLog);
  } finally {
    await store.close();
  }
  return file;
}

/** A copy of the seeded file under the name that the program expects in its data folder. */
export function copyInto(seeded: string, folder: string): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, 'copse.sqlite');
  copyFileSync(seeded, file, constants.COPYFILE_FICLONE);
  return file;
}
