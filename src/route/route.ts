/** The pipeline's types bound to this API's connector: what a route file imports. */
import type { Connector } from '../data/connector.js';
import { requestHandler } from './pipeline/handler.js';
import type { RouteManager } from './pipeline/route-manager.js';

export type Route = RouteManager<Connector>;

export const defineHandler = requestHandler<Connector>();
