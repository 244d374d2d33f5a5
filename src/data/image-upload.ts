/** Uploads of the content of images: the region keeps the bytes, the record says how far it has got. */
import type { Readable } from 'node:stream';
import { ApiError, notFound } from '../model/error.js';
import type { ImageRecord } from '../model/stored-image.js';
import { taskEffects } from '../model/task-effects.js';
import { RegionError, type RegionImages, type RegionProvider } from '../region/provider.js';
import type { Caller } from './caller.js';
import { checkFree, checkLiving, openTasksOf } from './open-tasks.js';
import type { RegionData } from './region.js';
import { type Document, replace, type Store } from './store/port.js';
import { retrying, unlessRaced } from './store/retry.js';
import { storedImages } from './stored-image.js';
import { openTask } from './task.js';

export interface Upload {
  /** Bytes that have arrived, and that there will be. */
  offset: number;
  sizeBytes: number;
  /** The task that checks the content, once all of it is there. */
  taskId?: string;
}

export class ImageUploadData {
  readonly #store: Store;
  readonly #regions: RegionData;

  constructor(store: Store, regions: RegionData) {
    this.#store = store;
    this.#regions = regions;
  }

  async state(caller: Caller, id: string): Promise<Upload> {
    const { value } = await this.#waiting(caller, id);
    const offset = await this.#ask(caller, value, (images) => images.received(id, caller.signal));
    return { offset, sizeBytes: value.source.sizeBytes ?? 0 };
  }

  /** `content` is opened only if it continues where the upload has got to. `length`: of it, if that is known, else 0. */
  async append(
    caller: Caller,
    id: string,
    { offset, length }: { offset: number; length: number },
    content: () => Readable,
  ): Promise<Upload> {
    const { offset: received, sizeBytes } = await this.state(caller, id);
    if (offset !== received) throw elsewhere(received);
    if (offset + length > sizeBytes)
      throw new ApiError('too_large', `The image has ${sizeBytes} bytes, of which ${offset} have arrived.`);
    const { value } = await this.#waiting(caller, id);
    const place = { offset, limit: sizeBytes };
    try {
      const reached = await this.#ask(caller, value, (images) =>
        images.receive(id, place, content(), caller.signal),
      );
      if (reached < sizeBytes) return { offset: reached, sizeBytes };
    } finally {
      await this.#record(id).catch(() => undefined);
    }
    return { offset: sizeBytes, sizeBytes, taskId: await this.#check(caller, id) };
  }

  /** Opens the task that checks the content. A client that has lost the response gets the same one. */
  #check(caller: Caller, id: string): Promise<string> {
    return retrying(async () => {
      const image = await this.#waiting(caller, id);
      checkFree('image', await openTasksOf(this.#store, image.value));
      const task = openTask('image', image, 'image.check', {}, caller);
      const next = { ...taskEffects['image.check'].onAccepted(image.value), openTasks: task.openTasks };
      await this.#store.write([replace(storedImages, image, next), task.write]);
      return task.id;
    });
  }

  /** Progress for whoever looks; nothing depends on it. */
  async #record(id: string): Promise<void> {
    const image = await this.#store.get(storedImages, id);
    const region = image && this.#regions.find(image.value.regionId);
    if (image?.value.state !== 'pending' || region === undefined) return;
    const received = (await region.provider.images?.received(id, AbortSignal.timeout(5000))) ?? 0;
    const progress = Math.floor((100 * received) / (image.value.source.sizeBytes ?? received + 1));
    if (progress === image.value.progress) return;
    await unlessRaced(this.#store.write([replace(storedImages, image, { ...image.value, progress })]));
  }

  /** An image that waits for its content; otherwise 409. */
  async #waiting({ signal }: Caller, id: string): Promise<Document<ImageRecord>> {
    const image = await this.#store.get(storedImages, id, signal);
    if (image === undefined) throw notFound();
    checkLiving('image', image.value);
    const { state, source } = image.value;
    if (state === 'pending' && source.type === 'upload') return image;
    throw new ApiError('conflict', `The image is ${state}, and waits for no content from you.`);
  }

  #ask<R>(caller: Caller, image: ImageRecord, call: (images: RegionImages) => Promise<R>): Promise<R> {
    return this.#regions.ask(caller, image.regionId, ({ images }: RegionProvider) => {
      if (images === undefined)
        throw new RegionError('unsupported', 'Upload to a process that drives the region itself.');
      return call(images);
    });
  }
}

function elsewhere(received: number): ApiError {
  const message = `The upload continues at byte ${received}.`;
  return new ApiError('conflict', message, {
    errors: [{ parameter: 'Upload-Offset', message }],
  });
}
