import { Type } from 'typebox';
import type { Connector } from '../data/connector.js';
import { Network } from '../model/network.js';
import type { Caller } from '../data/caller.js';
import { callerOf } from './caller.js';
import { RequireUserAuthenticator } from './pipeline/authenticator.js';
import { PaginationExecutor } from './pipeline/pagination.js';
import type { Route } from './route.js';
import { textPage } from './route.js';

/** GET /api/v2/networks */
const list = new PaginationExecutor<Connector, Caller>({
  declaration: {
    operationId: 'listNetworks',
    summary: 'Networks that instances of the caller can be attached to',
    tags: ['networks'],
    stored: true,
    responses: {
      200: { description: 'A page of networks.', schema: Type.Array(Network), headers: ['Link'] },
    },
  },
  args: ({ context }) => callerOf(context),
  paginator: (key, limit, caller, connector, { descending }) =>
    textPage(key, limit, (page) => connector.networks.list(caller, page), descending),
});

export const networkRoutes: Route[] = [
  {
    route: '/networks',
    version: 2,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: list }],
  },
];
