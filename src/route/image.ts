import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Image } from '../model/image.js';
import { catalogHandler } from './catalog.js';

export const listImages = catalogHandler(
  {
    operationId: 'listImages',
    summary: 'Images that instances can be created from',
    params: Type.Object({ organizationID: Uuid, regionID: Uuid }, { additionalProperties: false }),
    errors: ['conflict', 'not_implemented'],
    responses: {
      200: {
        description: 'The images that are ready, ordered by name.',
        schema: Type.Array(Image),
        headers: ['ETag'],
      },
    },
  },
  (connector, caller, { organizationID, regionID }) =>
    connector.images.list(caller, organizationID, regionID),
);

export const getImage = catalogHandler(
  {
    operationId: 'getImage',
    summary: 'One image that instances can be created from',
    params: Type.Object({ regionID: Uuid, imageID: Uuid }, { additionalProperties: false }),
    errors: ['conflict', 'not_implemented'],
    responses: { 200: { description: 'The image.', schema: Image, headers: ['ETag'] } },
  },
  (connector, caller, { regionID, imageID }) => connector.images.get(caller, regionID, imageID),
);
