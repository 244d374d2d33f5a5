/** The images that were made of simulated machines: rows that outlive the process, like the machines. */
import { createHash, type Hash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type Database from 'better-sqlite3';
import type { Image } from '../../model/image.js';
import {
  type ImageRequest,
  type MadeImage,
  RegionError,
  type SnapshotRequest,
  type UploadPlace,
} from '../provider.js';
import type { Catalog } from './catalog.js';
import { type Cloud, fileFault } from './cloud.js';
import { pause } from './fate.js';

interface ImageRow {
  id: string;
  spec: string;
  sizeBytes: number;
  readyAt: number;
}

function statements(db: Database.Database) {
  return {
    get: db.prepare<[string], ImageRow>('SELECT id, spec, sizeBytes, readyAt FROM image WHERE id = ?'),
    all: db.prepare<[], ImageRow>('SELECT id, spec, sizeBytes, readyAt FROM image ORDER BY id'),
    insert: db.prepare<[string, string, string, string, number, number]>(
      `INSERT INTO image (id, name, serverId, spec, sizeBytes, readyAt) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO NOTHING`,
    ),
    remove: db.prepare<[string]>('DELETE FROM image WHERE id = ?'),
    removeUnfinished: db.prepare<[string, number]>('DELETE FROM image WHERE id = ? AND readyAt > ?'),
    user: db.prepare<[string], number>('SELECT 1 FROM server WHERE imageId = ? LIMIT 1').pluck(),
  };
}

export class CloudImages {
  readonly #cloud: Cloud;
  readonly #catalog: Catalog;
  /** Content that is arriving, by image. */
  readonly #uploads = new Map<string, { size: number; hash: Hash }>();
  readonly #sql: ReturnType<typeof statements>;

  constructor(cloud: Cloud, catalog: Catalog) {
    this.#cloud = cloud;
    this.#catalog = catalog;
    this.#sql = statements(cloud.database);
  }

  /** Complete or being made. */
  has(id: string): boolean {
    return this.#sql.get.get(id) !== undefined;
  }

  /** Ids of those that are complete or being made. */
  ids(): string[] {
    return this.#sql.all.all().map(({ id }) => id);
  }

  /** Of an image of the catalog, or a stored one that is complete. */
  spec(id: string): Image['spec'] | undefined {
    const offered = this.#catalog.images.find((one) => one.metadata.id === id);
    const stored = this.#complete(id);
    return offered?.spec ?? (stored && (JSON.parse(stored.spec) as Image['spec']));
  }

  /**
   * Begins an image that is complete after `delay` ms, even if this process dies. `disk`: of the server, in GB. False:
   * it existed.
   */
  begin(
    server: { id: string; imageId: string; disk: number | undefined },
    { imageId, name }: SnapshotRequest,
    delay: number,
  ): boolean {
    const base = this.spec(server.imageId);
    if (base === undefined)
      throw new RegionError('terminal', 'The image that the server was created from no longer exists.');
    const sizeGiB = Math.max(base.sizeGiB, Math.ceil(((server.disk ?? 0) * 1e9) / 2 ** 30));
    const spec = JSON.stringify({ ...base, sizeGiB });
    // A sixteenth of the disk counts as used.
    const sizeBytes = sizeGiB * 2 ** 26;
    const readyAt = Math.round(this.#cloud.now() + delay);
    return this.#sql.insert.run(imageId, name, server.id, spec, sizeBytes, readyAt).changes === 1;
  }

  /** Waits until the image is complete; an abort gives it up. */
  async finished(id: string, signal: AbortSignal): Promise<MadeImage> {
    for (;;) {
      const image = this.#complete(id);
      if (image !== undefined) return madeOf(image);
      const readyAt = this.#sql.get.get(id)?.readyAt;
      if (readyAt === undefined) throw new RegionError('transient', 'The image was deleted meanwhile.');
      await pause(Math.max(1, readyAt - this.#cloud.now()), signal).catch((error: unknown) => {
        this.#sql.removeUnfinished.run(id, this.#cloud.now());
        throw error;
      });
    }
  }

  received(id: string): number {
    return this.#uploads.get(id)?.size ?? 0;
  }

  /** Keeps size and checksum of what arrives; another process does not know them, so that an upload begins anew there. */
  async receive(
    id: string,
    { offset, limit }: UploadPlace,
    content: Readable,
    signal: AbortSignal,
  ): Promise<number> {
    const upload = this.#uploads.get(id) ?? { size: 0, hash: createHash('sha256') };
    if (upload.size !== offset)
      throw new RegionError('conflict', 'The upload does not continue at this offset.');
    this.#uploads.set(id, upload);
    try {
      for await (const chunk of content as AsyncIterable<Buffer>) {
        if (upload.size + chunk.length > limit)
          throw new RegionError('conflict', 'More content arrived than was declared.');
        upload.hash.update(chunk);
        upload.size += chunk.length;
      }
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof RegionError) throw cause;
      throw new RegionError('transient', 'The connection was cut.', { cause });
    }
    return upload.size;
  }

  make({ id, name, sizeBytes, checksum, architecture, os, minMemoryMiB = 1 }: ImageRequest): MadeImage {
    const known = this.#complete(id);
    if (known !== undefined) return { ...madeOf(known), checksum };
    const upload = this.#uploads.get(id);
    this.#uploads.delete(id);
    const found = upload && `sha256:${upload.hash.digest('hex')}`;
    if (upload?.size !== sizeBytes || found !== checksum) {
      const reason = found === undefined ? 'there is none; upload it again' : `its checksum is ${found}`;
      throw new RegionError('terminal', `The content is refused: ${reason}.`);
    }
    const sizeGiB = Math.max(1, Math.ceil(sizeBytes / 2 ** 30));
    const spec = JSON.stringify({ architecture, os, minMemoryMiB, sizeGiB, virtualization: 'virtualized' });
    this.#sql.insert.run(id, name, '', spec, sizeBytes, 0);
    return { virtualSize: sizeGiB * 2 ** 30, sizeBytes, checksum };
  }

  /** Refused with `conflict` if a server was created from it. */
  remove(id: string): void {
    this.#uploads.delete(id);
    const transaction = this.#cloud.database.transaction(() => {
      if (this.#sql.user.get(id) !== undefined)
        throw new RegionError('conflict', 'A server was created from the image and still needs it.');
      this.#sql.remove.run(id);
    });
    try {
      transaction.immediate();
    } catch (error) {
      throw fileFault(error);
    }
  }

  #complete(id: string): ImageRow | undefined {
    const row = this.#sql.get.get(id);
    return row !== undefined && row.readyAt <= this.#cloud.now() ? row : undefined;
  }
}

function madeOf({ id, spec, sizeBytes }: ImageRow): MadeImage {
  const { sizeGiB } = JSON.parse(spec) as Image['spec'];
  const checksum = `sha256:${createHash('sha256').update(id).digest('hex')}`;
  return { virtualSize: sizeGiB * 2 ** 30, sizeBytes, checksum };
}
