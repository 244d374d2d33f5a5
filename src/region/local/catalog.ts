/** The available flavors and images. Images are read again each time: one may be built while the server runs. */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Flavor } from '../../model/flavor.js';
import type { Image } from '../../model/image.js';
import type { Log } from '../../model/log.js';
import { RegionError } from '../provider.js';
import { stableId } from '../stable-id.js';
import { reasonOf, unreadable } from './file-fault.js';
import { errorCode, exists, uuid } from './files.js';
import { readManifest, type ImageManifest } from './manifest.js';
import type { LocalFlavor } from './options.js';

/**
 * Flavors come from the configuration, which has no date; a constant, so that the response is the same after a restart.
 */
const flavorTime = '2026-01-01T00:00:00.000Z';

/** The files that a machine boots from; absolute paths. */
export interface BootFiles {
  disk: string;
  /** Without it the firmware boots the disk. */
  linux?: { kernel: string; initrd: string; append: string };
}

export interface LocalImage {
  id: string;
  manifest: ImageManifest;
  files: BootFiles;
}

export class Catalog {
  readonly #regionId: string;
  readonly #imageDir: string;
  readonly #stored: string;
  readonly #flavors: LocalFlavor[];
  readonly #log: Log;
  /** The content of a folder as last read, in case it cannot be read later: an image never changes. */
  readonly #known = new Map<string, LocalImage>();
  /** Faults that were already logged. */
  readonly #complaints = new Set<string>();

  /** `stored`: the folder of the images that the region itself stores, each in a folder named by its id. */
  constructor(options: {
    regionId: string;
    imageDir: string;
    stored: string;
    flavors: LocalFlavor[];
    log: Log;
  }) {
    this.#regionId = options.regionId;
    this.#imageDir = options.imageDir;
    this.#stored = options.stored;
    this.#flavors = options.flavors;
    this.#log = options.log;
  }

  flavor(id: string): LocalFlavor | undefined {
    return this.#flavors.find((flavor) => this.#flavorId(flavor) === id);
  }

  /** Ordered by CPUs, then memory. */
  flavors(): Flavor[] {
    const sorted = this.#flavors.toSorted(
      (a, b) => a.cpus - b.cpus || a.memoryMiB - b.memoryMiB || (a.name < b.name ? -1 : 1),
    );
    return sorted.map((flavor) => ({
      metadata: {
        id: this.#flavorId(flavor),
        name: flavor.name,
        creationTime: flavorTime,
        createdBy: 'system',
      },
      spec: {
        architecture: 'x86_64',
        cpus: flavor.cpus,
        memory: Math.ceil(flavor.memoryMiB / 1024),
        memoryMiB: flavor.memoryMiB,
        disk: flavor.diskGB,
      },
    }));
  }

  /** The newest image of each name, ordered by name. */
  async images(): Promise<Image[]> {
    const newest = new Map<string, LocalImage>();
    for (const image of await this.all()) {
      const rival = newest.get(image.manifest.name);
      if (rival === undefined || isNewer(image.manifest, rival.manifest))
        newest.set(image.manifest.name, image);
    }
    return [...newest.values()].sort((a, b) => (a.manifest.name < b.manifest.name ? -1 : 1)).map(toImage);
  }

  /**
   * Includes older ones: machines created from them still exist, and a task may refer to one from before the newer was
   * added. Rejects with RegionError `transient` if it is not found but may be one that cannot be read.
   */
  async image(id: string): Promise<LocalImage | undefined> {
    const stored = await this.storedImage(id);
    if (stored !== undefined) return stored;
    const { images, fault } = await this.#refresh();
    const found = images.find((image) => image.id === id);
    if (found === undefined && fault !== undefined) throw fault;
    return found;
  }

  /** The image that the region itself stores under this id. Rejects with RegionError `transient` if it cannot be read. */
  async storedImage(id: string): Promise<LocalImage | undefined> {
    if (!uuid.test(id)) return undefined;
    const image = await this.#read(join(this.#stored, id));
    return image?.id === id ? image : undefined;
  }

  /** All readable images of the catalog. Rejects with RegionError `transient` if the folder cannot be read. */
  async all(): Promise<LocalImage[]> {
    return (await this.#refresh()).images;
  }

  async #refresh(): Promise<{ images: LocalImage[]; fault: RegionError | undefined }> {
    let folders: string[];
    try {
      folders = await readdir(this.#imageDir);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return { images: [], fault: undefined };
      throw unreadable('The folder of the images', error);
    }
    const images: LocalImage[] = [];
    let fault: RegionError | undefined;
    // A leading dot marks an unfinished build.
    for (const name of folders.filter((folder) => !folder.startsWith('.')).sort()) {
      const image = await this.#read(join(this.#imageDir, name)).catch((error: unknown) => {
        if (!(error instanceof RegionError)) throw error;
        fault ??= error;
        return this.#known.get(name);
      });
      if (image === undefined) continue;
      this.#known.set(name, image);
      images.push(image);
    }
    return { images, fault };
  }

  /** Undefined: it is not valid. Rejects with RegionError if that cannot be determined. */
  async #read(folder: string): Promise<LocalImage | undefined> {
    const name = basename(folder);
    try {
      const manifest = await readManifest(folder);
      const id = manifest.id ?? stableId(this.#regionId, 'image', manifest.name, manifest.digest);
      return { id, manifest, files: bootFiles(folder, manifest) };
    } catch (error) {
      if (errorCode(error) === 'ENOENT' && !(await exists(folder))) return undefined;
      const passing = isPassing(error);
      const reason = error instanceof Error ? error.message : String(error);
      const complaint = `${name}: ${reason}`;
      if (!this.#complaints.has(complaint))
        this.#log.warn({ folder, reason }, passing ? 'image cannot be read' : 'invalid image ignored');
      this.#complaints.add(complaint);
      if (passing) throw unreadable(`The image in the folder ${name}`, error);
      return undefined;
    }
  }

  #flavorId(flavor: LocalFlavor): string {
    return stableId(this.#regionId, 'flavor', flavor.name);
  }
}

/** A system error other than "no such file": it says nothing about the content of the file. */
function isPassing(error: unknown): boolean {
  if (reasonOf(error) === undefined)
    return error instanceof Error && error.cause !== undefined && isPassing(error.cause);
  return !['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '');
}

/** Two builds within one second differ in their digest, which then decides, so that every process decides the same. */
function isNewer(a: ImageManifest, b: ImageManifest): boolean {
  const [aTime, bTime] = [Date.parse(a.created), Date.parse(b.created)];
  return aTime === bTime ? a.digest > b.digest : aTime > bTime;
}

function bootFiles(folder: string, { files, append }: ImageManifest): BootFiles {
  const { kernel, initrd } = files;
  const disk = join(folder, files.disk);
  if (kernel === undefined || initrd === undefined || append === undefined) return { disk };
  return { disk, linux: { kernel: join(folder, kernel), initrd: join(folder, initrd), append } };
}

function toImage({ id, manifest }: LocalImage): Image {
  return {
    metadata: {
      id,
      name: manifest.name,
      creationTime: new Date(manifest.created).toISOString(),
      createdBy: 'system',
    },
    spec: {
      architecture: manifest.architecture,
      sizeGiB: Math.ceil(manifest.virtualSize / 2 ** 30),
      virtualization: 'virtualized',
      os: structuredClone(manifest.os),
      minMemoryMiB: manifest.minMemoryMiB,
    },
    status: { state: 'ready' },
  };
}
