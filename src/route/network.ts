import { Type } from 'typebox';
import type { Connector } from '../data/connector.js';
import { Uuid } from '../model/common.js';
import { Network, presentNetwork } from '../model/network.js';
import type { Caller } from '../data/caller.js';
import { callerOf } from './caller.js';
import { RequireUserAuthenticator } from './pipeline/authenticator.js';
import { PaginationExecutor } from './pipeline/pagination.js';
import type { Route } from './route.js';
import { defineHandler, textPage } from './route.js';

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

/** GET /api/v2/networks/{networkID} */
const get = defineHandler(
  {
    operationId: 'getNetwork',
    summary: 'One network of the caller',
    tags: ['networks'],
    params: Type.Object({ networkID: Uuid }, { additionalProperties: false }),
    responses: { 200: { description: 'The network.', schema: Network, headers: ['ETag'] } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.networkID }),
    execute: async (connector, { caller, id }) => {
      const { value, revision } = await connector.networks.get(caller, id);
      return { result: presentNetwork(id, value), metadata: { revision } };
    },
  },
);

export const networkRoutes: Route[] = [
  {
    route: '/networks',
    version: 2,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: list }],
  },
  {
    route: '/networks/{networkID}',
    version: 2,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: get }],
  },
];
