/** The definition of a route, and its registration on the router. Names: Evergreen's REST v2 route package. */
import type Router from '@koa/router';
import type { Context } from 'koa';
import type { Authenticator } from './authenticator.js';
import type { Fetched, PipelineState, RequestContext } from './context.js';
import { type Deprecation, writeDeprecation } from './deprecation.js';
import type { RequestHandler } from './handler.js';

export const methodTypes = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

export type MethodType = (typeof methodTypes)[number];

/**
 * Fetches what the access decision needs, such as the project of the path's resource: the result is added to the
 * context.
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
  /** Announces that the route will be removed (RFC 9745, RFC 8594). */
  deprecation?: Deprecation;
}

export function pathOf<C>(manager: RouteManager<C>): string {
  return (manager.version === undefined ? '' : `/api/v${manager.version}`) + manager.route;
}

/** Whether an Idempotency-Key makes a repeat of the request safe. */
export function isRepeatable<C>({ methodType, requestHandler }: MethodHandler<C>): boolean {
  const { secret, signed } = requestHandler.declaration;
  // A signature is checked when the request is parsed: before that, nothing may be stored or answered.
  return methodType === 'POST' && secret !== true && signed !== true;
}

/** A mistake in the declaration of a route; prevents the start. */
export class RegistrationError extends Error {
  override readonly name = 'RegistrationError';
}

/** Registers a route that `checkRoutes` has accepted on the router; `serve` returns the middleware for one method. */
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
