/**
 * The images that the region itself stores: `images/ID/` in its data folder. A folder has its final name only once it is
 * complete, and loses it before anything of it is removed.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../../model/log.js';
import { KeyedMutex } from '../../platform/keyed-mutex.js';
import { RegionError, type MadeImage } from '../provider.js';
import type { Catalog, LocalImage } from './catalog.js';
import { readable, reasonOf } from './file-fault.js';
import { syncFile, syncFolder, uuid, writeDurably } from './files.js';
import { type ImageManifest, readManifest } from './manifest.js';
import { endProcessesIn } from './process-identity.js';

const unfinished = '.making-';
const deleted = '.deleted-';

export class ImageStore {
  readonly #folder: string;
  readonly #catalog: Catalog;
  readonly #log: Log;
  readonly #mutex = new KeyedMutex();
  /** Servers that are being created from an image, by its id. */
  readonly #uses = new Map<string, number>();
  /** Images that are being deleted. */
  readonly #leaving = new Set<string>();

  /** `folder`: of the images; the catalog reads them. */
  constructor(folder: string, catalog: Catalog, log: Log) {
    this.#folder = folder;
    this.#catalog = catalog;
    this.#log = log;
  }

  /** Creates the folder, and finishes interrupted deletions. Resolves with the ids of images that were never finished. */
  async open(): Promise<string[]> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const names = await readable('The folder of the stored images', readdir(this.#folder));
    for (const name of names.filter((one) => one.startsWith(deleted))) await this.#tryDiscard(name);
    return names.filter((one) => one.startsWith(unfinished)).map((one) => one.slice(unfinished.length));
  }

  /** Removes what an earlier process has left of an image; what cannot be removed is left for the next start. */
  discard(id: string): Promise<void> {
    return this.#mutex.run(id, () => this.#tryDiscard(unfinished + id));
  }

  /** Undefined: there is no such image. Rejects with RegionError `transient` if that cannot be determined. */
  async find(id: string): Promise<MadeImage | undefined> {
    const image = await this.#catalog.storedImage(id);
    return image === undefined ? undefined : madeOf(image);
  }

  /**
   * Stores an image: `fill` writes its files into the folder that it is given, and returns the manifest. If the image
   * exists, nothing is done. If anything fails, nothing is left.
   */
  async add(id: string, fill: (folder: string) => Promise<ImageManifest>): Promise<MadeImage> {
    mustBeId(id);
    return this.#mutex.run(id, async () => {
      const known = await this.find(id);
      if (known !== undefined) return known;
      const name = unfinished + id;
      const folder = join(this.#folder, name);
      try {
        await this.#discard(name);
        await mkdir(folder, { mode: 0o700 });
        const manifest = await fill(folder);
        await complete(folder, { ...manifest, format: 2, id });
        await rename(folder, join(this.#folder, id));
        await syncFolder(this.#folder);
      } catch (error) {
        await this.#tryDiscard(name);
        throw error;
      }
      const image = await this.find(id);
      if (image === undefined) throw new RegionError('transient', 'The image was removed at once.');
      return image;
    });
  }

  /**
   * Removes an image, and what an interrupted attempt has left of it. `isUsed`: whether a server needs it; if that
   * cannot be determined, it throws. Rejects with RegionError `conflict` if one does.
   */
  async remove(id: string, isUsed: () => boolean): Promise<void> {
    mustBeId(id);
    return this.#mutex.run(id, async () => {
      // From here to the mark nothing else runs, so no server can begin to use it in between.
      if (this.#uses.has(id) || isUsed())
        throw new RegionError('conflict', 'A server was created from the image and still needs it.');
      this.#leaving.add(id);
      try {
        const name = `${deleted}${id}-${randomBytes(4).toString('hex')}`;
        await rename(join(this.#folder, id), join(this.#folder, name)).catch(unlessAbsent);
        await syncFolder(this.#folder);
        for (const left of await readdir(this.#folder))
          if (left === unfinished + id || left.startsWith(`${deleted}${id}-`)) await this.#discard(left);
      } catch (cause) {
        const reason = reasonOf(cause) ?? 'the host gives no reason';
        throw new RegionError('transient', `The files of the image cannot be removed: ${reason}.`, { cause });
      } finally {
        this.#leaving.delete(id);
      }
    });
  }

  /** The image is not deleted while `work` runs. Rejects with `not_found` if it is being deleted. */
  async using<R>(id: string, work: () => Promise<R>): Promise<R> {
    if (this.#leaving.has(id)) throw new RegionError('not_found', 'The image is being deleted.');
    this.#uses.set(id, (this.#uses.get(id) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = (this.#uses.get(id) ?? 1) - 1;
      if (left === 0) this.#uses.delete(id);
      else this.#uses.set(id, left);
    }
  }

  #tryDiscard(name: string): Promise<void> {
    return this.#discard(name).catch((error: unknown) => {
      this.#log.warn({ err: error, folder: name }, 'the remains of an image cannot be removed');
    });
  }

  /** A program that an earlier process started may still be writing there. */
  async #discard(name: string): Promise<void> {
    const folder = join(this.#folder, name);
    endProcessesIn(folder);
    await rm(folder, { recursive: true, force: true });
  }
}

/** The files are checked like those of any image, made read-only, and on disk before the folder gets its name. */
async function complete(folder: string, manifest: ImageManifest): Promise<void> {
  await writeDurably(join(folder, 'image.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
  await readManifest(folder);
  for (const name of Object.values(manifest.files)) await syncFile(join(folder, name));
  for (const name of await readdir(folder)) await chmod(join(folder, name), 0o400);
  await syncFolder(folder);
}

async function madeOf({ manifest, files }: LocalImage): Promise<MadeImage> {
  const { size } = await readable('The disk of the image', stat(files.disk));
  return { virtualSize: manifest.virtualSize, sizeBytes: size, checksum: manifest.digest };
}

/** The id becomes a folder name. */
function mustBeId(id: string): void {
  if (!uuid.test(id)) throw new RegionError('terminal', 'The id of the image is not a UUID.');
}

function unlessAbsent(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
