/** Images of all regions: those of the catalogs, and those that users bring. The catalog of one region: image.ts. */
import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Image } from '../model/image.js';
import { ImageCreate, ImagePatch } from '../model/stored-image.js';
import { changed, createdIn } from './answer.js';
import { callerOf } from './caller.js';
import { exampleIds } from './example.js';
import { listHandler } from './list-handler.js';
import { prefetchProjectContext } from './prefetch.js';
import { defineHandler } from './route.js';
import { taskHandler } from './task-handler.js';

const tags = ['images'];

export const imageParams = Type.Object({ imageID: Uuid }, { additionalProperties: false });

/**
 * The project of a stored image decides who changes it; an image of a catalog is the site's. A credential that is
 * limited by tags sees only some instances, and changes no images.
 */
export const projectOfImage = prefetchProjectContext(
  'imageID',
  (connector, id, interruption) => connector.images.readForAccess(id, interruption),
  (_connector, { tags: within }) => within === undefined,
);

/** GET /api/v2/images */
export const listAllImages = listHandler(
  {
    operationId: 'listAllImages',
    summary: 'Images that the caller sees, whatever their state, and those of the catalogs of regions',
    tags,
    query: Type.Object(
      {
        projectID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
        regionID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
      },
      { additionalProperties: false },
    ),
    responses: {
      200: {
        description: 'A page of images, in the order of their ids.',
        schema: Type.Array(Image),
        headers: ['Link'],
      },
    },
  },
  {
    args: ({ query, context }) => ({
      caller: callerOf(context),
      filter: { projectIds: query.projectID, regionIds: query.regionID },
    }),
    list: (connector, { caller, filter }, page) => connector.images.page(caller, filter, page),
  },
);

const created = createdIn('/api/v2/images');

/** POST /api/v2/images */
export const createImage = defineHandler(
  {
    operationId: 'createImage',
    summary: 'Create an image, whose content follows',
    description:
      'Needs `operate` in the project. Names are unique in it. After `source.type: upload`, send the content to `…/content`.',
    tags,
    body: ImageCreate,
    example: {
      metadata: { name: 'example' },
      spec: {
        projectId: exampleIds.projectID,
        regionId: exampleIds.regionID,
        source: {
          type: 'upload',
          format: 'qcow2',
          sizeBytes: 1_048_576,
          checksum: `sha256:${'0'.repeat(64)}`,
        },
      },
    },
    responses: { 201: { description: 'The image.', schema: Image, headers: ['Location', 'ETag'] } },
    errors: ['name_taken', 'not_found', 'forbidden', 'being_deleted', 'unprocessable', 'not_implemented'],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context, created), body }),
    execute: async (connector, { caller, body }) => created(await connector.images.create(caller, body)),
  },
);

/** GET /api/v2/images/{imageID} */
export const getAnyImage = defineHandler(
  {
    operationId: 'getAnyImage',
    summary: 'One image',
    tags,
    params: imageParams,
    responses: { 200: { description: 'The image.', schema: Image, headers: ['ETag'] } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.imageID }),
    execute: async (connector, { caller, id }) => {
      const { image, revision } = await connector.images.one(caller, id);
      return { result: image, metadata: revision === undefined ? {} : { revision } };
    },
  },
);

/** PATCH /api/v2/images/{imageID} */
export const patchImage = defineHandler(
  {
    operationId: 'patchImage',
    summary: 'Rename or describe an image, tag it, or change who sees it',
    description: 'A JSON merge patch (RFC 7396). Only superusers make an image public.',
    tags,
    params: imageParams,
    body: ImagePatch,
    example: { metadata: { description: 'An example.' }, spec: { visibility: 'organization' } },
    responses: { 200: { description: 'The image.', schema: Image, headers: ['ETag'] } },
    errors: ['name_taken', 'in_use', 'being_deleted', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, body, context }) => ({ caller: callerOf(context, changed), id: params.imageID, body }),
    execute: async (connector, { caller, id, body }) =>
      changed(await connector.images.patch(caller, id, body)),
  },
);

/** DELETE /api/v2/images/{imageID} */
export const deleteImage = taskHandler(
  {
    operationId: 'deleteImage',
    summary: 'Delete an image that no instance uses',
    tags,
    params: imageParams,
    errors: ['in_use', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params }) => params.imageID,
    accept: (connector, caller, id) => connector.images.delete(caller, id),
  },
);
