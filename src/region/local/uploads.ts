/** Content of images that is being uploaded: a file each, whose size says how much has arrived. */
import { mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { RegionError, type UploadPlace } from '../provider.js';
import { reasonOf } from './file-fault.js';
import { errorCode, uuid } from './files.js';

interface Receiving {
  controller: AbortController;
  done: Promise<unknown>;
}

export class Uploads {
  readonly #folder: string;
  readonly #receiving = new Map<string, Receiving>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  path(id: string): string {
    // The id becomes a file name.
    if (!uuid.test(id)) throw new RegionError('terminal', 'The id of the image is not a UUID.');
    return join(this.#folder, id);
  }

  async received(id: string): Promise<number> {
    try {
      return (await stat(this.path(id))).size;
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return 0;
      throw failed(error);
    }
  }

  /** A later call for the same image ends an earlier one, whose client may be gone without a sign. */
  async receive(id: string, place: UploadPlace, content: Readable, signal: AbortSignal): Promise<number> {
    const path = this.path(id);
    const earlier = this.#receiving.get(id);
    const controller = new AbortController();
    const write = async () => {
      earlier?.controller.abort(new RegionError('conflict', 'Another request goes on with the upload.'));
      await earlier?.done.catch(() => undefined);
      return this.#write(path, place, content, AbortSignal.any([signal, controller.signal]));
    };
    const done = write();
    const receiving = { controller, done };
    this.#receiving.set(id, receiving);
    try {
      return await done;
    } finally {
      if (this.#receiving.get(id) === receiving) this.#receiving.delete(id);
    }
  }

  async remove(id: string): Promise<void> {
    const receiving = this.#receiving.get(id);
    receiving?.controller.abort(new RegionError('conflict', 'The image is being deleted.'));
    await receiving?.done.catch(() => undefined);
    try {
      await rm(this.path(id), { force: true });
    } catch (cause) {
      const reason = reasonOf(cause) ?? 'the host gives no reason';
      throw new RegionError('transient', `What was uploaded cannot be removed: ${reason}.`, { cause });
    }
  }

  async #write(
    path: string,
    { offset, limit }: UploadPlace,
    content: Readable,
    signal: AbortSignal,
  ): Promise<number> {
    let at = offset;
    const stop = () => content.destroy();
    signal.addEventListener('abort', stop, { once: true });
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const file = await open(path, 'a', 0o600);
      try {
        if ((await file.stat()).size !== offset)
          throw new RegionError('conflict', 'The upload does not continue at this offset.');
        signal.throwIfAborted();
        for await (const chunk of content as AsyncIterable<Buffer>) {
          if (at + chunk.length > limit)
            throw new RegionError('conflict', 'More content arrived than was declared.');
          await file.appendFile(chunk);
          at += chunk.length;
        }
        signal.throwIfAborted();
      } finally {
        // What has arrived is kept, whatever ended it.
        await file.sync().finally(() => file.close());
      }
      return at;
    } catch (error) {
      signal.throwIfAborted();
      throw failed(error);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}

function failed(error: unknown): RegionError {
  if (error instanceof RegionError) return error;
  const reason = reasonOf(error) ?? 'the connection was cut';
  return new RegionError('transient', `The content cannot be stored: ${reason}.`, { cause: error });
}
