import { Type } from 'typebox';
import type { Connector } from '../data/connector.js';
import { Uuid } from '../model/common.js';
import { Drift } from '../model/drift.js';
import type { Caller } from '../data/caller.js';
import { callerOf } from './caller.js';
import { RequireUserAuthenticator } from './pipeline/authenticator.js';
import type { RouteRequest } from './pipeline/handler.js';
import { PaginationExecutor } from './pipeline/pagination.js';
import type { Route } from './route.js';
import { textPage } from './route.js';

const declaration = {
  operationId: 'listDrift',
  summary: 'Where a region differs from what is wished',
  description:
    'What the last comparison of each region found in the caller’s projects. Superusers also see machines that no instance accounts for. A report goes when it is no longer true.',
  tags: ['status'],
  stored: true,
  query: Type.Object(
    {
      projectID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
      regionID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
    },
    { additionalProperties: false },
  ),
  responses: { 200: { description: 'A page of reports.', schema: Type.Array(Drift), headers: ['Link'] } },
} as const;

interface Wanted {
  caller: Caller;
  filter: { regionIds?: readonly string[]; projectIds?: readonly string[] };
}

/** GET /api/v2/status/drift */
const list = new PaginationExecutor<Connector, Wanted>({
  declaration,
  args: (request) => {
    const { query, context } = request as RouteRequest<typeof declaration>;
    return {
      caller: callerOf(context),
      filter: {
        ...(query.projectID === undefined ? {} : { projectIds: query.projectID }),
        ...(query.regionID === undefined ? {} : { regionIds: query.regionID }),
      },
    };
  },
  paginator: (key, limit, { caller, filter }, connector, { descending }) =>
    textPage(key, limit, (page) => connector.drifts.list(caller, filter, page), descending),
});

export const driftRoutes: Route[] = [
  {
    route: '/status/drift',
    version: 2,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: list }],
  },
];
