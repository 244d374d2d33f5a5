import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Region } from '../model/region.js';
import { callerOf } from './caller.js';
import { catalogAnswer } from './catalog.js';
import { RequireUserAuthenticator } from './pipeline/authenticator.js';
import type { Route } from './route.js';
import { defineHandler } from './route.js';

/** GET /api/v1/organizations/{organizationID}/regions */
const list = defineHandler(
  {
    operationId: 'listRegions',
    summary: 'Regions that the organization may use',
    tags: ['catalog'],
    params: Type.Object({ organizationID: Uuid }, { additionalProperties: false }),
    responses: { 200: { description: 'The regions.', schema: Type.Array(Region) } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), organizationId: params.organizationID }),
    execute: async (connector, { caller, organizationId }) => ({
      result: await connector.regions.list(caller, organizationId),
      metadata: { cacheControl: 'private, max-age=60' },
    }),
  },
);

/** GET /api/v2/regions/{regionID} */
const get = defineHandler(
  {
    operationId: 'getRegion',
    summary: 'One region',
    tags: ['catalog'],
    params: Type.Object({ regionID: Uuid }, { additionalProperties: false }),
    responses: { 200: { description: 'The region.', schema: Region, headers: ['ETag'] } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.regionID }),
    execute: async (connector, { caller, id }) => catalogAnswer(await connector.regions.one(caller, id)),
  },
);

export const regionRoutes: Route[] = [
  {
    route: '/organizations/{organizationID}/regions',
    version: 1,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: list }],
  },
  {
    route: '/regions/{regionID}',
    version: 2,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: get }],
  },
];
