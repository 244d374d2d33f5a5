/** What the routes of one instance, or of one of its tasks, share: the path parameter, and who may use it. */
import { Type } from 'typebox';
import type { Connector } from '../data/connector.js';
import { Uuid } from '../model/common.js';
import { ProjectMemberAuthenticator } from './pipeline/authenticator.js';
import type { RequestHandler } from './pipeline/handler.js';
import type { MethodHandler, MethodType } from './pipeline/route-manager.js';
import { prefetchProjectContext } from './prefetch.js';

export const instanceParams = Type.Object({ instanceID: Uuid }, { additionalProperties: false });

/** A method for members of the project of the path's instance or task; everybody else finds no such thing. */
export function memberOnly(
  methodType: MethodType,
  requestHandler: RequestHandler<Connector>,
): MethodHandler<Connector> {
  return {
    methodType,
    prefetchFunctions: [prefetchProjectContext],
    authenticator: new ProjectMemberAuthenticator(),
    requestHandler,
  };
}
