/** A store with very many instances, created through Copse's own collections, on any engine. */
import { uuidv7 } from 'uuidv7';
import { instances } from '../../src/data/instance.js';
import { migrateStore } from '../../src/data/migration/index.js';
import { networks } from '../../src/data/network.js';
import { projects } from '../../src/data/project.js';
import { secretFor } from '../../src/data/secret.js';
import { setUp, setUpRegion } from '../../src/data/setup.js';
import { insert, type Store } from '../../src/data/store/port.js';
import { UserData } from '../../src/data/user.js';
import type { InstanceRecord } from '../../src/model/instance.js';
import { silentLog } from '../../src/model/log.js';
import { makeCatalog } from '../../src/region/simulated/catalog.js';
import { adminKey } from '../../test/support/process.js';

const batch = 1000;

/** One in this many instances has another project, tag and status, so that each filter excludes some. */
const other = 20;

/** Ids that the lists filter by. */
export interface Seeded {
  projectId: string;
}

export const commonTag = { name: 'kind', value: 'common' };
export const commonStatus = 'provisioned';

function recordOf(number: number, ids: Omit<InstanceRecord, 'name'>, otherProject: string): InstanceRecord {
  const rare = number % other === 7;
  return {
    ...ids,
    projectId: rare ? otherProject : ids.projectId,
    name: `instance-${String(number).padStart(8, '0')}`,
    description: `Number ${number} of a large fleet`,
    tags: [rare ? { name: 'kind', value: 'rare' } : commonTag, { name: 'fleet', value: String(number % 50) }],
    provisioning: { status: rare ? 'error' : commonStatus },
    privateIP: `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`,
  };
}

/** Fills an empty store with this number of instances; one that already has them is used as it is. */
export async function seed(store: Store, rows: number, say: (text: string) => void): Promise<Seeded> {
  await migrateStore(store, silentLog);
  const users = new UserData(store, await secretFor(store, 'apikey'), () => ({
    superUsers: ['admin'],
    everyoneIsSuperUser: false,
  }));
  await setUp(store, users, { adminName: 'admin', adminKey });
  await setUpRegion(store, 'simulated', 'simulated');
  // No process drives this region, so that nothing checks its machines during the measurement.
  const { id: regionId } = await setUpRegion(store, 'elsewhere', 'simulated');
  const [project] = await store.page(projects, { order: 'id', limit: 1 });
  if (project === undefined) throw new Error('the set-up made no project');
  const network = await store.find(networks, 'name', [project.id, regionId, 'default']);
  const { flavors, images } = makeCatalog(regionId);
  const started = Date.UTC(2026, 0, 1);
  const common = {
    organizationId: project.value.organizationId,
    projectId: project.id,
    networkId: network?.id ?? '',
    regionId,
    flavorId: flavors[0]?.metadata.id ?? '',
    imageId: images[0]?.metadata.id ?? '',
    creationTime: new Date(started).toISOString(),
    createdBy: 'admin',
    desiredPower: 'running' as const,
    powerState: 'Running' as const,
    openTasks: [],
    provisioning: { status: 'provisioned' as const },
  };
  const otherProject = uuidv7();
  for (let done = await store.count(instances, {}); done < rows; done += batch) {
    const numbers = Array.from({ length: Math.min(batch, rows - done) }, (_, index) => done + index);
    const writes = numbers.map((number) =>
      insert(instances, uuidv7(), recordOf(number, common, otherProject)),
    );
    // Readers of the change log are not measured.
    await store.write(writes.map((write) => ({ ...write, quiet: true })));
    if ((done / batch) % 50 === 49) say(`  ${done + batch} of ${rows} instances`);
  }
  return { projectId: project.id };
}
