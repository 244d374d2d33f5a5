/** The collection of stored images, and who sees one. What is done with them: image.ts. */
import { audienceOf, everyone, type ImageRecord, presentStoredImage } from '../model/stored-image.js';
import type { AuditedCollection } from './change.js';

export const storedImages: AuditedCollection<ImageRecord> = {
  name: 'images',
  auditedAs: 'image',
  columns: {
    project_id: 'text',
    region_id: 'text',
    name: 'text',
    audience: 'text',
    state: 'text',
    upload_until: 'integer',
  },
  columnsOf: (_id, image) => ({
    project_id: image.projectId,
    region_id: image.regionId,
    name: image.name,
    audience: audienceOf(image),
    state: image.state,
    // Ms since 1970; 0: not waiting for content.
    upload_until: image.uploadUntil ?? 0,
  }),
  present: presentStoredImage,
  unique: { name: ['project_id', 'name'] },
  orders: { id: [], upload: ['upload_until'] },
  indexes: [['project_id'], ['audience'], ['region_id', 'audience']],
};

/** Where an image is to be used. */
export interface ImagePlace {
  regionId: string;
  organizationId: string;
  projectId: string;
}

/** Whether machines of the project can be made from the image in the region, once it is ready. */
export function isSeenIn(image: ImageRecord, { regionId, organizationId, projectId }: ImagePlace): boolean {
  if (image.regionId !== regionId || image.deletionTime !== undefined) return false;
  return image.projectId === projectId || [projectId, organizationId, everyone].includes(audienceOf(image));
}
