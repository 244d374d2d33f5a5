/** Stored images, put directly into a store. */
import { uuidv7 } from 'uuidv7';
import { insert, type Store } from '../../src/data/store/port.js';
import { storedImages } from '../../src/data/stored-image.js';
import { timestamp } from '../../src/model/common.js';
import { type ImageRecord, unknownOs } from '../../src/model/stored-image.js';

type Place = Pick<ImageRecord, 'organizationId' | 'projectId' | 'regionId'>;

/** An image that is ready, unless `more` says otherwise; returns its id. */
export async function seedImage(
  store: Store,
  place: Place,
  more: Partial<ImageRecord> = {},
): Promise<string> {
  const id = uuidv7();
  const image: ImageRecord = {
    ...{ organizationId: place.organizationId, projectId: place.projectId, regionId: place.regionId },
    ...{ name: `image-${id.slice(-12)}`, visibility: 'private', architecture: 'x86_64', sizeGiB: 1 },
    ...{ os: unknownOs, source: { type: 'upload' }, state: 'ready', openTasks: [] },
    ...{ creationTime: timestamp(), createdBy: 'test' },
    ...more,
  };
  await store.write([insert(storedImages, id, image)]);
  return id;
}

/** What makes a seeded image wait for ten bytes. */
export const pendingUpload: Partial<ImageRecord> = {
  source: { type: 'upload', format: 'raw', sizeBytes: 10, checksum: `sha256:${'0'.repeat(64)}` },
  state: 'pending',
};
