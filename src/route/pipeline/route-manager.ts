/** How a route is put together, and how it comes onto the router. Names: Evergreen's REST v2 route package. */
import type Router from '@koa/router';
import type { Context } from 'koa';
import type { Authenticator } from './authenticator.js';
import type { Fetched, PipelineState, RequestContext } from './context.js';
import { type Deprecation, writeDeprecation } from './deprecation.js';
import type { RequestHandler } from './handler.js';

export const methodTypes = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

export type MethodType = (typeof methodTypes)[number];

/**
 * Fetches what must be known before the access decision, such as the project of the path's resource: what it gives back
 * is added to the context.
 */
export type PrefetchFunc<C> = (
  context: RequestContext,
  connector: C,
  params: Readonly<Record<string, string>>,
) => Promise<Fetched | undefined>;

/** One method of a route. */
export interface MethodHandler<C> {
  prefetchFunctions?: readonly PrefetchFunc<C>[];
  methodType: MethodType;
  authenticator: Authenticator;
  requestHandler: RequestHandler<C>;
}

/** All methods of one path. With a version the path is `/api/v{version}{route}`, without one the route itself. */
export interface RouteManager<C> {
  route: string;
  version?: number;
  methods: readonly MethodHandler<C>[];
  /** Announces that the route goes away (RFC 9745, RFC 8594). */
  deprecation?: Deprecation;
}

export function pathOf<C>(manager: RouteManager<C>): string {
  return (manager.version === undefined ? '' : `/api/v${manager.version}`) + manager.route;
}

/** A mistake in the declaration of a route; stops the start. */
export class RegistrationError extends Error {
  override readonly name = 'RegistrationError';
}

/** Puts a route that `checkRoutes` has passed on the router; `serve` gives the way of a request through one method. */
export function register<C>(
  router: Router,
  manager: RouteManager<C>,
  serve: (path: string, method: MethodHandler<C>) => (ctx: Context) => Promise<void>,
): void {
  const path = pathOf(manager);
  const koaPath = path.replaceAll(/\{([A-Za-z_]+)\}/g, ':$1');
  for (const method of manager.methods) {
    const answer = serve(path, method);
    router.register(koaPath, [method.methodType], (ctx) => {
      (ctx.state as PipelineState).routePattern = path;
      if (manager.deprecation !== undefined) writeDeprecation(ctx, manager.deprecation);
      return answer(ctx);
    });
  }
}
