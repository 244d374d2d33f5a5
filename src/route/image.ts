import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Image } from '../model/image.js';
import { callerOf } from './caller.js';
import { catalogAnswer } from './catalog.js';
import { RequireUserAuthenticator } from './pipeline/authenticator.js';
import type { Route } from './route.js';
import { defineHandler } from './route.js';

/** GET /api/v1/organizations/{organizationID}/regions/{regionID}/images */
const list = defineHandler(
  {
    operationId: 'listImages',
    summary: 'Images that instances can start from',
    tags: ['catalog'],
    params: Type.Object({ organizationID: Uuid, regionID: Uuid }, { additionalProperties: false }),
    errors: ['conflict', 'not_implemented'],
    responses: { 200: { description: 'The images that are ready, by name.', schema: Type.Array(Image) } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), ...params }),
    execute: async (connector, { caller, organizationID, regionID }) => ({
      result: await connector.images.list(caller, organizationID, regionID),
      metadata: { cacheControl: 'private, max-age=60' },
    }),
  },
);

/** GET /api/v2/regions/{regionID}/images/{imageID} */
const get = defineHandler(
  {
    operationId: 'getImage',
    summary: 'One image that instances can start from',
    tags: ['catalog'],
    params: Type.Object({ regionID: Uuid, imageID: Uuid }, { additionalProperties: false }),
    errors: ['conflict', 'not_implemented'],
    responses: { 200: { description: 'The image.', schema: Image, headers: ['ETag'] } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), ...params }),
    execute: async (connector, { caller, regionID, imageID }) =>
      catalogAnswer(await connector.images.get(caller, regionID, imageID)),
  },
);

export const imageRoutes: Route[] = [
  {
    route: '/organizations/{organizationID}/regions/{regionID}/images',
    version: 1,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: list }],
  },
  {
    route: '/regions/{regionID}/images/{imageID}',
    version: 2,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: get }],
  },
];
