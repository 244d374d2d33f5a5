import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Flavor } from '../model/flavor.js';
import { catalogHandler } from './catalog.js';

export const listFlavors = catalogHandler(
  {
    operationId: 'listFlavors',
    summary: 'Machine sizes that the region offers',
    params: Type.Object({ organizationID: Uuid, regionID: Uuid }, { additionalProperties: false }),
    errors: ['conflict', 'not_implemented'],
    responses: {
      200: { description: 'The flavors, smallest first.', schema: Type.Array(Flavor), headers: ['ETag'] },
    },
  },
  (connector, caller, { organizationID, regionID }) =>
    connector.flavors.list(caller, organizationID, regionID),
);

export const getFlavor = catalogHandler(
  {
    operationId: 'getFlavor',
    summary: 'One machine size that the region offers',
    params: Type.Object({ regionID: Uuid, flavorID: Uuid }, { additionalProperties: false }),
    errors: ['conflict', 'not_implemented'],
    responses: { 200: { description: 'The flavor.', schema: Flavor, headers: ['ETag'] } },
  },
  (connector, caller, { regionID, flavorID }) => connector.flavors.get(caller, regionID, flavorID),
);
