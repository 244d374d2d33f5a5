/** Every route of the API. */
import { adminRoutes } from './admin.js';
import { driftRoutes } from './drift.js';
import { eventRoutes, type StreamTimes } from './event.js';
import { flavorRoutes } from './flavor.js';
import { imageRoutes } from './image.js';
import { instanceConsoleRoutes } from './instance-console.js';
import { instanceExpirationRoutes } from './instance-expiration.js';
import { instancePowerRoutes } from './instance-power.js';
import { instanceRoutes } from './instance.js';
import { networkRoutes } from './network.js';
import { projectRoutes } from './project.js';
import { referenceRoutes } from './reference.js';
import { regionRoutes } from './region.js';
import type { ServiceState } from './service.js';
import { serviceRoutes } from './service.js';
import { statusRoutes } from './status.js';
import { taskRoutes } from './task.js';
import type { Route } from './route.js';
import { type ProtectedResourceOptions, wellKnownRoutes } from './well-known.js';

export interface RouteOptions extends ProtectedResourceOptions {
  service: ServiceState;
  streams: StreamTimes;
}

/** The route table. */
export function allRoutes(options: RouteOptions, document: () => string): Route[] {
  return [
    ...instanceRoutes,
    ...instancePowerRoutes,
    ...instanceConsoleRoutes,
    ...instanceExpirationRoutes,
    ...taskRoutes,
    ...statusRoutes,
    ...adminRoutes,
    ...projectRoutes,
    ...networkRoutes,
    ...eventRoutes(options.streams),
    ...driftRoutes,
    ...regionRoutes,
    ...flavorRoutes,
    ...imageRoutes,
    ...serviceRoutes(options.service),
    ...wellKnownRoutes(options),
    ...referenceRoutes(document),
  ];
}
