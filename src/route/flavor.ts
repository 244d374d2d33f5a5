import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Flavor } from '../model/flavor.js';
import { callerOf } from './caller.js';
import { catalogAnswer } from './catalog.js';
import { RequireUserAuthenticator } from './pipeline/authenticator.js';
import type { Route } from './route.js';
import { defineHandler } from './route.js';

/** GET /api/v1/organizations/{organizationID}/regions/{regionID}/flavors */
const list = defineHandler(
  {
    operationId: 'listFlavors',
    summary: 'Sizes of machine that the region offers',
    tags: ['catalog'],
    params: Type.Object({ organizationID: Uuid, regionID: Uuid }, { additionalProperties: false }),
    errors: ['conflict', 'not_implemented'],
    responses: { 200: { description: 'The flavors, smallest first.', schema: Type.Array(Flavor) } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), ...params }),
    execute: async (connector, { caller, organizationID, regionID }) => ({
      result: await connector.flavors.list(caller, organizationID, regionID),
      metadata: { cacheControl: 'private, max-age=60' },
    }),
  },
);

/** GET /api/v2/regions/{regionID}/flavors/{flavorID} */
const get = defineHandler(
  {
    operationId: 'getFlavor',
    summary: 'One size of machine that the region offers',
    tags: ['catalog'],
    params: Type.Object({ regionID: Uuid, flavorID: Uuid }, { additionalProperties: false }),
    errors: ['conflict', 'not_implemented'],
    responses: { 200: { description: 'The flavor.', schema: Flavor, headers: ['ETag'] } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), ...params }),
    execute: async (connector, { caller, regionID, flavorID }) =>
      catalogAnswer(await connector.flavors.get(caller, regionID, flavorID)),
  },
);

export const flavorRoutes: Route[] = [
  {
    route: '/organizations/{organizationID}/regions/{regionID}/flavors',
    version: 1,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: list }],
  },
  {
    route: '/regions/{regionID}/flavors/{flavorID}',
    version: 2,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: get }],
  },
];
