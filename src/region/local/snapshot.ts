/** An image of a server's disk: complete in itself, so that neither the server nor its own image is needed for it. */
import { createHash } from 'node:crypto';
import { copyFile, constants } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { timestamp } from '../../model/common.js';
import { RegionError, type SnapshotRequest, type MadeImage } from '../provider.js';
import { backUpDisk } from './backup.js';
import type { LocalImage } from './catalog.js';
import { names } from './command-line.js';
import type { Emulator } from './emulator.js';
import { readable } from './file-fault.js';
import type { ImageManifest } from './manifest.js';
import { readVirtualSize } from './qcow2.js';
import type { ServerRecord } from './record.js';
import type { Workshop } from './server-folder.js';
import { copyDisk, makeEmptyDisk } from './storage.js';

/** The server; nothing else works on it meanwhile. */
export interface SnapshotSource {
  folder: string;
  record: Readonly<ServerRecord>;
  /** Its process, if it is on. */
  emulator: Emulator | undefined;
}

/** Nothing in the names of these files comes from a request. */
const files = { disk: 'disk.qcow2', kernel: 'vmlinuz', initrd: 'initrd.img' } as const;

/** Stores the image, or returns the one that an earlier attempt has stored. */
export async function takeSnapshot(
  source: SnapshotSource,
  request: SnapshotRequest,
  shop: Workshop,
  signal: AbortSignal,
): Promise<MadeImage> {
  const base = await shop.catalog.image(source.record.imageId);
  if (base === undefined)
    throw new RegionError('terminal', 'The image that the server was created from no longer exists.');
  return shop.images.add(request.imageId, async (folder) => {
    // The record may have another one already: a disk grows only before the next start.
    const virtualSize = await readable(
      'The disk of the server',
      readVirtualSize(join(source.folder, names.disk)),
    );
    await copyOfDisk(source, base, shop, { folder, signal, virtualSize });
    await copyBootFiles(base, folder);
    const digest = await digestOf(join(folder, files.disk), signal);
    return manifestOf(base, { name: request.name, digest, virtualSize });
  });
}

async function copyOfDisk(
  { folder, emulator }: SnapshotSource,
  base: LocalImage,
  { tools, helpers }: Workshop,
  target: { folder: string; signal: AbortSignal; virtualSize: number },
): Promise<void> {
  const place = { qemuImg: tools.qemuImg, folder: target.folder, name: files.disk, signal: target.signal };
  try {
    if (emulator === undefined) {
      await helpers.add(() => copyDisk(place, { overlay: folder, base: base.files.disk }));
      return;
    }
    await makeEmptyDisk(place, target.virtualSize);
    await backUpDisk(emulator, join(target.folder, files.disk), target.signal);
  } catch (cause) {
    target.signal.throwIfAborted();
    if (cause instanceof RegionError) throw cause;
    const message =
      emulator?.isGone === true
        ? 'The machine ended while its disk was being copied.'
        : 'The disk of the server could not be copied.';
    throw new RegionError('transient', message, { cause });
  }
}

async function copyBootFiles({ files: { linux } }: LocalImage, folder: string): Promise<void> {
  if (linux === undefined) return;
  // Where the file system can, the copies share their blocks with the originals.
  await copyFile(linux.kernel, join(folder, files.kernel), constants.COPYFILE_FICLONE);
  await copyFile(linux.initrd, join(folder, files.initrd), constants.COPYFILE_FICLONE);
}

function manifestOf(
  { manifest, files: { linux } }: LocalImage,
  own: Pick<ImageManifest, 'name' | 'digest' | 'virtualSize'>,
): ImageManifest {
  const { architecture, minMemoryMiB, os } = manifest;
  return {
    ...own,
    architecture,
    minMemoryMiB,
    os,
    created: timestamp(),
    ...(linux === undefined ? { files: { disk: files.disk } } : { files, append: linux.append }),
  };
}

async function digestOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash, { signal });
  return `sha256:${hash.digest('hex')}`;
}
