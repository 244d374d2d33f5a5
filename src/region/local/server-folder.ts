/** Making and removing the folder of a server. */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type PQueue from 'p-queue';
import { RegionError, type ServerRequest } from '../provider.js';
import { stableMac } from '../stable-id.js';
import type { Catalog } from './catalog.js';
import { errorCode, syncFolder } from './files.js';
import { writeRecord, type ServerRecord } from './record.js';
import { diskSize, makeDisk, makeSeed } from './storage.js';
import type { Tools } from './tools.js';

const deletedPrefix = '.deleted-';

export interface Workshop {
  catalog: Catalog;
  tools: Tools;
  /** Bounds the helper programs that run at a time. */
  helpers: PQueue;
}

/**
 * Fills the folder and writes the record, which is what makes it a server. Without a record nothing in the folder was
 * ever used, so an interrupted attempt is simply done again. Rejects with RegionError when the request does not fit.
 */
export async function createServer(
  folder: string,
  request: ServerRequest,
  shop: Workshop,
): Promise<ServerRecord> {
  const flavor = shop.catalog.flavor(request.flavorId);
  if (flavor === undefined) throw new RegionError('not_found', 'The region has no such flavor.');
  const image = await shop.catalog.image(request.imageId);
  if (image === undefined) throw new RegionError('not_found', 'The region has no such image.');
  const { minMemoryMiB, virtualSize } = image.manifest;
  if (flavor.memoryMiB < minMemoryMiB) {
    const message = `The image needs ${minMemoryMiB} MiB of memory; the flavor has ${flavor.memoryMiB} MiB.`;
    throw new RegionError('terminal', message);
  }
  const record: ServerRecord = {
    format: 1,
    id: request.id,
    flavorId: request.flavorId,
    imageId: request.imageId,
    cpus: flavor.cpus,
    memoryMiB: flavor.memoryMiB,
    diskBytes: diskSize(flavor.diskGB, virtualSize),
    mac: stableMac(request.id),
    wanted: 'running',
    rebooting: false,
    continued: false,
    powerState: 'Pending',
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
    throw new RegionError('transient', "The server's disks could not be made.", { cause });
  }
  return record;
}

/**
 * Removes a server's folder. It is renamed first: a half-removed one must not be taken for a server. Whatever a crash
 * leaves behind is removed by `sweepDeleted`.
 */
export async function removeFolder(servers: string, id: string): Promise<boolean> {
  const grave = join(servers, `${deletedPrefix}${id}-${randomBytes(4).toString('hex')}`);
  try {
    await rename(join(servers, id), grave);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
  await syncFolder(servers);
  await rm(grave, { recursive: true, force: true });
  return true;
}

export async function sweepDeleted(servers: string): Promise<void> {
  for (const name of await readdir(servers)) {
    if (name.startsWith(deletedPrefix)) await rm(join(servers, name), { recursive: true, force: true });
  }
}
