/** The pipeline's types bound to this API's connector, and the rows of the route table. */
import type { Connector } from '../data/connector.js';
import { defined } from '../model/common.js';
import type { Guard } from './guard.js';
import { type RequestHandler, requestHandler } from './pipeline/handler.js';
import type { MethodHandler, MethodType, RouteManager } from './pipeline/route-manager.js';

export type Route = RouteManager<Connector>;

export const defineHandler = requestHandler<Connector>();

/** One method of one path, and who may call it. */
export type Row = readonly [
  version: number | undefined,
  methodType: MethodType,
  path: string,
  guard: Guard,
  requestHandler: RequestHandler<Connector>,
];

/** The rows as routes, each with all methods of its path, in the order of the rows. */
export function routesOf(rows: readonly Row[]): Route[] {
  const routes = new Map<string, Route & { methods: MethodHandler<Connector>[] }>();
  for (const [version, methodType, path, guard, requestHandler] of rows) {
    const name = `${version} ${path}`;
    const route = routes.get(name) ?? { ...defined({ version }), route: path, methods: [] };
    route.methods.push({ ...guard, methodType, requestHandler });
    routes.set(name, route);
  }
  return [...routes.values()];
}
