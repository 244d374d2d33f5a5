import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Network, presentNetwork } from '../model/network.js';
import { callerOf } from './caller.js';
import { listHandler } from './list-handler.js';
import { defineHandler } from './route.js';

/** GET /api/v2/networks */
export const listNetworks = listHandler(
  {
    operationId: 'listNetworks',
    summary: 'Networks that the caller’s instances can be attached to',
    tags: ['networks'],
    responses: {
      200: { description: 'A page of networks.', schema: Type.Array(Network), headers: ['Link'] },
    },
  },
  {
    args: ({ context }) => callerOf(context),
    list: (connector, caller, page) => connector.networks.list(caller, page),
  },
);

/** GET /api/v2/networks/{networkID} */
export const getNetwork = defineHandler(
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
