import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Region } from '../model/region.js';
import { catalogHandler } from './catalog.js';

export const listRegions = catalogHandler(
  {
    operationId: 'listRegions',
    summary: 'Regions that the organization can use',
    params: Type.Object({ organizationID: Uuid }, { additionalProperties: false }),
    responses: { 200: { description: 'The regions.', schema: Type.Array(Region), headers: ['ETag'] } },
  },
  (connector, caller, { organizationID }) => connector.regions.list(caller, organizationID),
);

export const getRegion = catalogHandler(
  {
    operationId: 'getRegion',
    summary: 'One region',
    params: Type.Object({ regionID: Uuid }, { additionalProperties: false }),
    responses: { 200: { description: 'The region.', schema: Region, headers: ['ETag'] } },
  },
  (connector, caller, { regionID }) => connector.regions.one(caller, regionID),
);
