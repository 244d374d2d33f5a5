/** Images made of the disks of instances. */
import { defined } from '../model/common.js';
import { ApiError, notFound } from '../model/error.js';
import type { Image } from '../model/image.js';
import type { InstanceRecord } from '../model/instance.js';
import {
  type ImageRecord,
  presentStoredImage,
  type SnapshotCreate,
  unknownOs,
} from '../model/stored-image.js';
import { taskEffects } from '../model/task-effects.js';
import type { Accepted, Caller } from './caller.js';
import { type ImageData, withImageName } from './image.js';
import { checkTags } from './instance-rules.js';
import { checkFree, checkLiving, openTasksOf } from './open-tasks.js';
import { carryOut } from './plan.js';
import { subjectKind } from './subject.js';
import { storedImages } from './stored-image.js';
import { insert, type Store } from './store/port.js';
import { retrying } from './store/retry.js';
import { openTask } from './task.js';
import { standingOf } from './wish.js';

const type = 'instance.snapshot';

export class SnapshotData {
  readonly #store: Store;
  readonly #images: ImageData;

  constructor(store: Store, images: ImageData) {
    this.#store = store;
    this.#images = images;
  }

  /** Stores the image, which is being made, and the task that makes it in one step. The result has the image's id. */
  create(caller: Caller, instanceId: string, { metadata }: SnapshotCreate): Promise<Accepted> {
    checkTags(metadata.tags);
    return withImageName(
      metadata.name,
      retrying(async () => {
        const kind = subjectKind('instance');
        const instance = await kind.load(this.#store, instanceId, caller.signal);
        if (instance === undefined) throw notFound();
        checkLiving('instance', instance.value);
        caller.precondition?.(standingOf(instance));
        checkFree('instance', await openTasksOf(this.#store, instance.value, caller.signal));
        const before = instance.value as InstanceRecord;
        const next = taskEffects[type].onAccepted(before);
        const { id, value, writes } = await this.#images.newImage(caller, {
          ...metadata,
          ...(await this.#like(caller, before)),
          source: { type: 'snapshot', instanceId },
          state: 'creating',
        });
        const task = openTask('instance', instance, type, { imageId: id, name: metadata.name }, caller);
        const image = { ...value, openTasks: [task.id] };
        const after = { ...next, openTasks: task.openTasks };
        const text = JSON.stringify(presentStoredImage(id, image));
        const accepted = { id, taskId: task.id, text, revision: 1 };
        const stored = writes.map((write) =>
          write.collection.name === storedImages.name ? insert(storedImages, id, image) : write,
        );
        const all = [kind.change(instance, after, type), task.write, ...stored];
        const intent = { id: instanceId, revision: instance.revision, before, after, task: type } as const;
        return carryOut(this.#store, caller, accepted, all, intent);
      }),
    );
  }

  /** What the image has in common with the instance, and with the image that this was created from. */
  async #like(
    caller: Caller,
    instance: InstanceRecord,
  ): Promise<
    Pick<
      ImageRecord,
      | 'organizationId'
      | 'projectId'
      | 'regionId'
      | 'visibility'
      | 'architecture'
      | 'sizeGiB'
      | 'os'
      | 'minMemoryMiB'
    >
  > {
    const { organizationId, projectId, regionId, flavor } = instance;
    const base = await this.#baseOf(caller, instance.imageId);
    const disk = Math.ceil(((flavor?.disk ?? 0) * 1e9) / 2 ** 30);
    return {
      ...{ organizationId, projectId, regionId, visibility: 'private' },
      architecture: base?.architecture ?? 'x86_64',
      os: base?.os ?? unknownOs,
      sizeGiB: Math.max(base?.sizeGiB ?? 1, disk),
      ...defined({ minMemoryMiB: base?.minMemoryMiB }),
    };
  }

  /** Undefined: it is no longer known here, only in its region. Whether the caller sees it does not matter. */
  async #baseOf(caller: Caller, id: string): Promise<Image['spec'] | undefined> {
    const stored = await this.#images.load(id, caller.signal);
    if (stored !== undefined) return presentStoredImage(id, stored.value).spec;
    try {
      return (await this.#images.one(caller, id)).image.spec;
    } catch (error) {
      if (error instanceof ApiError && error.code === 'not_found') return undefined;
      throw error;
    }
  }
}
