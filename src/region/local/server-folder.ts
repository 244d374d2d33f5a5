/** Creating and removing the folder of a server. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, lstat, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type PQueue from 'p-queue';
import type { Log } from '../../model/log.js';
import { diskShrinks, RegionError, type ResizeRequest, type ServerRequest } from '../provider.js';
import { stableMac } from '../stable-id.js';
import type { Catalog, LocalImage } from './catalog.js';
import { readable, reasonOf } from './file-fault.js';
import { errorCode, syncFolder } from './files.js';
import type { ImageStore } from './image-store.js';
import type { LocalFlavor } from './options.js';
import { dropRecord, writeRecord, type ServerRecord } from './record.js';
import type { ServerState } from './server-state.js';
import { diskSize, growDisk, makeDisk, makeSeed } from './storage.js';
import type { Tools } from './tools.js';

const deletedPrefix = '.deleted-';

export interface Workshop {
  catalog: Catalog;
  images: ImageStore;
  tools: Tools;
  /** Limits the number of concurrent helper programs. */
  helpers: PQueue;
}

/**
 * Fills the folder and writes the record, which makes it a server. Without a record nothing in the folder was ever
 * used, so an interrupted attempt is simply repeated. Rejects with RegionError if the request does not fit.
 */
export function createServer(folder: string, request: ServerRequest, shop: Workshop): Promise<ServerRecord> {
  return shop.images.using(request.imageId, () => fill(folder, request, shop));
}

async function fill(folder: string, request: ServerRequest, shop: Workshop): Promise<ServerRecord> {
  const { image, shape } = await shapeOf(request, shop);
  const record: ServerRecord = {
    format: 1,
    id: request.id,
    imageId: request.imageId,
    ...shape,
    mac: stableMac(request.id),
    wanted: request.power ?? 'running',
    rebooting: false,
    continued: false,
    powerState: request.power === 'stopped' ? 'Stopped' : 'Pending',
  };
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const { id, hostname, userData } = request;
    await shop.helpers.add(async () => {
      await makeSeed(folder, shop.tools.isoMaker, { id, hostname, userData });
      await makeDisk(folder, shop.tools.qemuImg, image.files.disk, record.diskBytes);
    });
    await writeRecord(folder, record);
  } catch (cause) {
    // A record that may or may not persist could turn the folder into an unknown server at the next start.
    await dropRecord(folder).catch(() => undefined);
    throw new RegionError('transient', "The server's disks could not be created.", { cause });
  }
  return record;
}

type Shape = Pick<ServerRecord, 'flavorId' | 'cpus' | 'memoryMiB' | 'diskBytes'>;

/** What a server of this flavor and image is. Rejects with RegionError if they do not exist or do not fit. */
async function shapeOf(
  request: Pick<ServerRequest, 'flavorId' | 'flavor' | 'imageId'>,
  { catalog }: Workshop,
): Promise<{ image: LocalImage; shape: Shape }> {
  const flavor = catalog.flavor(request.flavorId) ?? formerFlavor(request);
  if (flavor === undefined) throw new RegionError('not_found', 'The region has no such flavor.');
  const image = await catalog.image(request.imageId);
  if (image === undefined) throw new RegionError('not_found', 'The region has no such image.');
  const { minMemoryMiB, virtualSize } = image.manifest;
  const { cpus, memoryMiB, diskGB } = flavor;
  if (memoryMiB < minMemoryMiB) {
    const message = `The image needs ${minMemoryMiB} MiB of memory; the flavor has ${memoryMiB} MiB.`;
    throw new RegionError('terminal', message);
  }
  const diskBytes = diskSize(diskGB, virtualSize);
  return { image, shape: { flavorId: request.flavorId, cpus, memoryMiB, diskBytes } };
}

/** The record of a server once it has another flavor. Rejects with RegionError if it cannot have that. */
export async function resized(
  record: Readonly<ServerRecord>,
  request: ResizeRequest,
  shop: Workshop,
): Promise<Shape & Pick<ServerRecord, 'grows'>> {
  const { shape } = await shapeOf({ ...request, imageId: record.imageId }, shop);
  if (shape.diskBytes < record.diskBytes) throw diskShrinks();
  return { ...shape, grows: record.grows === true || shape.diskBytes > record.diskBytes };
}

/** Enlarges the disk of a server after a resize. No machine may be using it. */
export async function growIfDue(state: ServerState, { tools, helpers }: Workshop): Promise<void> {
  const { grows, diskBytes } = state.mustHave();
  if (grows !== true) return;
  try {
    await helpers.add(() => growDisk(state.folder, tools.qemuImg, diskBytes));
  } catch (cause) {
    throw new RegionError('transient', "The server's disk could not be enlarged.", { cause });
  }
  await state.commit((next) => delete next.grows);
}

function formerFlavor({ flavor }: Pick<ServerRequest, 'flavor'>): Omit<LocalFlavor, 'name'> | undefined {
  return flavor && { cpus: flavor.cpus, memoryMiB: flavor.memoryMiB, diskGB: flavor.disk };
}

/**
 * Removes a server's folder, and the remains of an earlier attempt. It is renamed first, and then counts as `gone`: a
 * half-removed folder must not look like a server. Remains after a crash are removed by `sweepDeleted`. Rejects with
 * RegionError `transient` while any of it exists.
 */
export async function removeFolder(servers: string, id: string, gone: () => void): Promise<void> {
  try {
    const folder = join(servers, id);
    if (await mayBeEmptied(folder)) {
      await rename(folder, join(servers, `${deletedPrefix}${id}-${randomBytes(4).toString('hex')}`));
    }
    gone();
    await syncFolder(servers);
    for (const name of await readdir(servers)) {
      if (name.startsWith(`${deletedPrefix}${id}-`))
        await rm(join(servers, name), { recursive: true, force: true });
    }
  } catch (cause) {
    const reason = reasonOf(cause) ?? 'the host gives no reason';
    throw new RegionError('transient', `The files of the server cannot be removed: ${reason}.`, { cause });
  }
}

/** False: it does not exist. Rejects, leaving it unchanged, if its content could not be removed. */
async function mayBeEmptied(folder: string): Promise<boolean> {
  try {
    if ((await lstat(folder)).isDirectory())
      await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** What cannot be removed is left for the next start, and for the retry of the delete. */
export async function sweepDeleted(servers: string, log: Log): Promise<void> {
  for (const name of await readable('The folder of the servers', readdir(servers))) {
    if (!name.startsWith(deletedPrefix)) continue;
    await rm(join(servers, name), { recursive: true, force: true }).catch((error: unknown) => {
      log.warn({ err: error, folder: name }, 'the remains of an interrupted delete cannot be removed');
    });
  }
}
