/** Every route of the API, for an audit at a glance: version, method, path, who may call it, and the handler. */
import { clearTaskQueue, restartFailedTasks } from './admin.js';
import { listDrift } from './drift.js';
import { listEvents, type StreamTimes } from './event.js';
import { getFlavor, listFlavors } from './flavor.js';
import { anyone, memberOnly, signedIn, superUserOnly } from './guard.js';
import { getImage, listImages } from './image.js';
import { projectOfInstance } from './instance-access.js';
import { getConsoleOutput } from './instance-console.js';
import { extendExpiration } from './instance-expiration.js';
import { rebootInstance, startInstance, stopInstance } from './instance-power.js';
import {
  createInstance,
  deleteInstance,
  getInstance,
  listInstances,
  patchInstance,
  updateInstance,
} from './instance.js';
import { getNetwork, listNetworks } from './network.js';
import { getProject, listProjects } from './project.js';
import { getOpenApi, getReference, getReferenceAsset } from './reference.js';
import { getRegion, listRegions } from './region.js';
import type { Row } from './route.js';
import { getHealth, getMetrics, getReady, getVersion, type ServiceState } from './service.js';
import { getQueueStatus, getRecentTasks } from './status.js';
import {
  abortTask,
  getTask,
  listTasks,
  projectOfTask,
  restartTask,
  taskExecutionPatchHandler,
} from './task.js';
import { getProtectedResource, pathsBelow, type ProtectedResourceOptions } from './well-known.js';

export interface RouteOptions extends ProtectedResourceOptions {
  service: ServiceState;
  streams: StreamTimes;
}

/** Instead of a version: the path is not below `/api/v…`. */
const root = undefined;

/** `document` renders the OpenAPI document. */
export function routeTable(options: RouteOptions, document: () => string): Row[] {
  const wellKnown = (operationId: string) => getProtectedResource(operationId, options);
  const below = pathsBelow(options.publicUrl(), '/.well-known/oauth-protected-resource');
  return [
    [2, 'GET', '/instances', signedIn, listInstances],
    [2, 'POST', '/instances', signedIn, createInstance],
    [2, 'GET', '/instances/{instanceID}', memberOnly(projectOfInstance), getInstance],
    [2, 'PUT', '/instances/{instanceID}', memberOnly(projectOfInstance), updateInstance],
    [2, 'PATCH', '/instances/{instanceID}', memberOnly(projectOfInstance), patchInstance],
    [2, 'DELETE', '/instances/{instanceID}', memberOnly(projectOfInstance), deleteInstance],
    [2, 'POST', '/instances/{instanceID}/start', memberOnly(projectOfInstance), startInstance],
    [2, 'POST', '/instances/{instanceID}/stop', memberOnly(projectOfInstance), stopInstance],
    [2, 'POST', '/instances/{instanceID}/reboot', memberOnly(projectOfInstance), rebootInstance],
    [2, 'GET', '/instances/{instanceID}/consoleoutput', memberOnly(projectOfInstance), getConsoleOutput],
    [2, 'POST', '/instances/{instanceID}/extend_expiration', memberOnly(projectOfInstance), extendExpiration],

    [2, 'GET', '/tasks', signedIn, listTasks],
    [2, 'GET', '/tasks/{taskID}', memberOnly(projectOfTask), getTask],
    [2, 'PATCH', '/tasks/{taskID}', memberOnly(projectOfTask), taskExecutionPatchHandler],
    [2, 'POST', '/tasks/{taskID}/abort', memberOnly(projectOfTask), abortTask],
    [2, 'POST', '/tasks/{taskID}/restart', memberOnly(projectOfTask), restartTask],

    [2, 'GET', '/status/recent_tasks', signedIn, getRecentTasks],
    [2, 'GET', '/status/queue', superUserOnly, getQueueStatus],
    [2, 'DELETE', '/admin/task_queue', superUserOnly, clearTaskQueue],
    [2, 'POST', '/admin/restart', superUserOnly, restartFailedTasks],

    [2, 'GET', '/projects', signedIn, listProjects],
    [2, 'GET', '/projects/{projectID}', signedIn, getProject],
    [2, 'GET', '/networks', signedIn, listNetworks],
    [2, 'GET', '/networks/{networkID}', signedIn, getNetwork],
    [2, 'GET', '/events', signedIn, listEvents(options.streams)],
    [2, 'GET', '/status/drift', signedIn, listDrift],

    [1, 'GET', '/organizations/{organizationID}/regions', signedIn, listRegions],
    [2, 'GET', '/regions/{regionID}', signedIn, getRegion],
    [1, 'GET', '/organizations/{organizationID}/regions/{regionID}/flavors', signedIn, listFlavors],
    [2, 'GET', '/regions/{regionID}/flavors/{flavorID}', signedIn, getFlavor],
    [1, 'GET', '/organizations/{organizationID}/regions/{regionID}/images', signedIn, listImages],
    [2, 'GET', '/regions/{regionID}/images/{imageID}', signedIn, getImage],

    [root, 'GET', '/metrics', anyone, getMetrics(options.service)],
    [root, 'GET', '/api/version', signedIn, getVersion(options.service)],
    [root, 'GET', '/health', anyone, getHealth(options.service)],
    [root, 'GET', '/ready', anyone, getReady(options.service)],
    [root, 'GET', '/.well-known/oauth-protected-resource', anyone, wellKnown('getOAuthProtectedResource')],
    ...below.map((path): Row => [root, 'GET', path, anyone, wellKnown('getOAuthProtectedResourceBelow')]),
    [root, 'GET', '/.well-known/openid-protected-resource', anyone, wellKnown('getOpenIdProtectedResource')],
    [root, 'GET', '/openapi.json', anyone, getOpenApi(document)],
    [root, 'GET', '/docs', anyone, getReference],
    [root, 'GET', '/docs/{asset}', anyone, getReferenceAsset()],
  ];
}
