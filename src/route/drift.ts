import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Drift } from '../model/drift.js';
import { callerOf } from './caller.js';
import { listHandler } from './list-handler.js';

/** GET /api/v2/status/drift */
export const listDrift = listHandler(
  {
    operationId: 'listDrift',
    summary: 'Where a region differs from the desired state',
    description:
      'What the last comparison of each region found in the caller’s projects. Superusers also see machines that belong to no instance. A report disappears once it is no longer true.',
    tags: ['status'],
    query: Type.Object(
      {
        projectID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
        regionID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
      },
      { additionalProperties: false },
    ),
    responses: { 200: { description: 'A page of reports.', schema: Type.Array(Drift), headers: ['Link'] } },
  },
  {
    args: ({ query, context }) => ({
      caller: callerOf(context),
      filter: { projectIds: query.projectID, regionIds: query.regionID },
    }),
    list: (connector, { caller, filter }, page) => connector.drifts.list(caller, filter, page),
  },
);
