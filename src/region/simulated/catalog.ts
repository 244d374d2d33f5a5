/** The catalog of the simulated region. The flavors have the shapes of the local region's defaults. */
import type { Flavor } from '../../model/flavor.js';
import type { Image } from '../../model/image.js';
import { stableId } from '../stable-id.js';

// Nothing was really created, so the time is a constant: two processes must return the same.
const creationTime = '2026-01-01T00:00:00.000Z';

interface Size extends Pick<Flavor['spec'], 'cpus' | 'memoryMiB' | 'disk' | 'pinnedOnly' | 'gpu'> {
  name: string;
}

const sizes: readonly Size[] = [
  { name: 'tiny', cpus: 1, memoryMiB: 128, disk: 1 },
  { name: 'small', cpus: 1, memoryMiB: 512, disk: 5 },
  { name: 'medium', cpus: 2, memoryMiB: 2048, disk: 20 },
  { name: 'large', cpus: 4, memoryMiB: 8192, disk: 80 },
  { name: 'huge', cpus: 16, memoryMiB: 65536, disk: 640 },
  { name: 'pinned', cpus: 16, memoryMiB: 131_072, disk: 640, pinnedOnly: true },
  {
    name: 'gpu',
    cpus: 32,
    memoryMiB: 262_144,
    disk: 1000,
    gpu: { vendor: 'NVIDIA', model: 'SIM-80', memory: 80, physicalCount: 1, logicalCount: 1 },
  },
];

interface Disk {
  name: string;
  version: string;
  minMemoryMiB: number;
  more?: Pick<Image['spec'], 'softwareVersions' | 'gpu'>;
}

const disks: readonly Disk[] = [
  { name: 'sim-linux', version: '1', minMemoryMiB: 96 },
  { name: 'sim-linux-next', version: '2', minMemoryMiB: 96 },
  { name: 'sim-large', version: '1', minMemoryMiB: 2048 },
  {
    name: 'sim-nvidia',
    version: '1',
    minMemoryMiB: 2048,
    more: { gpu: { vendor: 'NVIDIA', driver: '580.65.6', models: ['SIM-80'] } },
  },
  {
    name: 'sim-kubernetes',
    version: '1',
    minMemoryMiB: 96,
    more: { softwareVersions: { kubernetes: 'v1.34.2' } },
  },
];

export interface Catalog {
  flavors: Flavor[];
  images: Image[];
}

/** Shared by all callers, and therefore frozen. */
export function makeCatalog(regionId: string): Catalog {
  const flavors = sizes.map(({ name, cpus, memoryMiB, ...rest }): Flavor => ({
    metadata: { id: stableId(regionId, 'flavor', name), name, creationTime, createdBy: 'system' },
    spec: { architecture: 'x86_64', cpus, memory: Math.ceil(memoryMiB / 1024), memoryMiB, ...rest },
  }));
  const images = disks.map(({ name, version, minMemoryMiB, more }): Image => ({
    metadata: { id: stableId(regionId, 'image', name), name, creationTime, createdBy: 'system' },
    spec: {
      architecture: 'x86_64',
      sizeGiB: 1,
      virtualization: 'virtualized',
      os: { kernel: 'linux', family: 'debian', distro: 'simulated', version },
      minMemoryMiB,
      ...more,
    },
    status: { state: 'ready' },
  }));
  images.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  return frozen({ flavors, images });
}

function frozen<T extends object>(value: T): T {
  for (const part of Object.values(value) as unknown[]) {
    if (typeof part === 'object' && part !== null) frozen(part);
  }
  return Object.freeze(value);
}
