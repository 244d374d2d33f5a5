/** The regions and their catalogs: responses that a client may cache for a while. */
import { createHash } from 'node:crypto';
import type { Caller } from '../data/caller.js';
import type { Connector } from '../data/connector.js';
import { callerOf } from './caller.js';
import type { Declaration, RequestHandler, RouteRequest } from './pipeline/handler.js';
import { JsonText, type ResponseData } from './pipeline/response.js';
import { defineHandler } from './route.js';

const cacheControl = 'private, max-age=60';

/** The handler of a part of the catalog: `read` returns one item of it, or a list. */
export function catalogHandler<const D extends Omit<Declaration, 'tags'>>(
  declaration: D,
  read: (
    connector: Connector,
    caller: Caller,
    params: RouteRequest<D>['params'],
  ) => Promise<object | object[]>,
): RequestHandler<Connector> {
  return defineHandler(
    { ...declaration, tags: ['catalog'] },
    {
      parse: ({ params, context }) => ({ caller: callerOf(context), params }),
      execute: async (connector, { caller, params }) => {
        return cacheable(await read(connector, caller, params));
      },
    },
  );
}

/** Nothing in the catalog has a revision: the tag is derived from the bytes. */
function cacheable(result: object): ResponseData {
  const text = JSON.stringify(result);
  const revision = createHash('sha256').update(text).digest('base64url').slice(0, 22);
  return { result: new JsonText(text), metadata: { revision, cacheControl } };
}
