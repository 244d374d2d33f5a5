/** Every route of the API, for an audit at a glance: version, method, path, who may call it, and the handler. */
import { listAdminEvents } from './admin-event.js';
import { clearTaskQueue, restartFailedTasks } from './admin.js';
import { createApiKey, deleteApiKey, getApiKey, listApiKeys, rotateApiKey } from './api-key.js';
import { listDrift } from './drift.js';
import { listEvents } from './event.js';
import type { StreamTimes } from './event-stream.js';
import { getFlavor, listFlavors } from './flavor.js';
import {
  adminOnly,
  anyone,
  foundWith,
  memberOnly,
  projectRight,
  selfOnly,
  signed,
  signedIn,
  superUserOnly,
  unlimited,
} from './guard.js';
import { getImage, listImages } from './image.js';
import { appendImageContent, getImageContent } from './image-content.js';
import { receiveGitHub } from './hook.js';
import { projectOfInstance } from './instance-access.js';
import { actOnInstances } from './instance-action.js';
import { getConsoleOutput } from './instance-console.js';
import { extendExpiration } from './instance-expiration.js';
import { restoreInstance } from './instance-restore.js';
import { getTimeline } from './instance-timeline.js';
import { rebootInstance, startInstance, stopInstance } from './instance-power.js';
import {
  createInstance,
  deleteInstance,
  getInstance,
  listInstances,
  patchInstance,
  updateInstance,
} from './instance.js';
import { createLabel, deleteLabel, getLabel, labelRows, listLabels, patchLabel } from './label.js';
import { memberRows } from './member.js';
import { getNetwork, listNetworks } from './network.js';
import { createOrganization, getOrganization, listOrganizations, patchOrganization } from './organization.js';
import { organizationInPath, projectInPath } from './prefetch.js';
import { createProject, deleteProject, getProject, listProjects, patchProject } from './project.js';
import { getQuota, putQuota } from './quota.js';
import { getPageAsset } from './page.js';
import { getOpenApi, getReference, getReferenceAsset } from './reference.js';
import { getRegion, listRegions } from './region.js';
import type { Verb } from '../model/role.js';
import type { Row } from './route.js';
import { getHealth, getMetrics, getReady, getVersion, type ServiceState } from './service.js';
import {
  getBanner,
  getServiceFlags,
  getSettings,
  patchServiceFlags,
  patchSettings,
  putBanner,
  putServiceFlags,
  revertChange,
} from './settings.js';
import { endSession, listSessions, signIn, signOut } from './session.js';
import { createSetup, getSetup } from './setup.js';
import {
  createImage,
  deleteImage,
  getAnyImage,
  listAllImages,
  patchImage,
  projectOfImage,
} from './stored-image.js';
import { createSnapshot } from './snapshot.js';
import { createSshKey, deleteSshKey, listSshKeys } from './ssh-key.js';
import { getQueueStatus, getRecentTasks } from './status.js';
import {
  deleteSubscription,
  deleteSubscriptionByQuery,
  getDelivery,
  getSubscription,
  listDeliveries,
  listSubscriptions,
  pingSubscription,
  putSubscription,
  replayDelivery,
} from './subscription.js';
import {
  abortTask,
  getTask,
  listTasks,
  projectOfTask,
  restartTask,
  taskExecutionPatchHandler,
} from './task.js';
import { getUserSettings, patchUserSettings, setUserSettings } from './user-settings.js';
import { createUser, getCurrentUser, getUser, listUserInstances, listUsers, patchUser } from './user.js';
import { getProtectedResource, pathsBelow, type ProtectedResourceOptions } from './well-known.js';

export interface RouteOptions extends ProtectedResourceOptions {
  /** Secret of the hook for GitHub; none, or an empty one: there is no such route. */
  githubSecret?: string;
  service: ServiceState;
  streams: StreamTimes;
}

/** Instead of a version: the path is not below `/api/v…`. */
const root = undefined;

const onInstance = (verb: Verb) => projectRight('operate', projectOfInstance, verb);
const mayReadConsole = projectRight('console', projectOfInstance);
const mayChangeImage = projectRight('operate', projectOfImage, 'images');
const mayOperateTask = projectRight('operate', projectOfTask, 'tasks');

const peopleRoutes: readonly Row[] = [
  [2, 'GET', '/user', signedIn, getCurrentUser],
  [2, 'GET', '/user/settings', signedIn, getUserSettings],
  [2, 'POST', '/user/settings', unlimited, setUserSettings],
  [2, 'PATCH', '/user/settings', unlimited, patchUserSettings],
  [2, 'GET', '/users', superUserOnly, listUsers],
  [2, 'POST', '/users', superUserOnly, createUser],
  [2, 'GET', '/users/{userID}', selfOnly, getUser],
  [2, 'PATCH', '/users/{userID}', superUserOnly, patchUser],
  [2, 'GET', '/users/{userID}/instances', selfOnly, listUserInstances],
  [2, 'GET', '/users/{userID}/apikeys', selfOnly, listApiKeys],
  [2, 'POST', '/users/{userID}/apikeys', selfOnly, createApiKey],
  [2, 'GET', '/users/{userID}/apikeys/{keyID}', selfOnly, getApiKey],
  [2, 'DELETE', '/users/{userID}/apikeys/{keyID}', selfOnly, deleteApiKey],
  [2, 'POST', '/users/{userID}/apikeys/{keyID}/rotate', selfOnly, rotateApiKey],

  [2, 'GET', '/users/{userID}/sessions', selfOnly, listSessions],
  [2, 'DELETE', '/users/{userID}/sessions/{sessionID}', selfOnly, endSession],

  [2, 'GET', '/keys', signedIn, listSshKeys],
  [2, 'POST', '/keys', unlimited, createSshKey],
  [2, 'DELETE', '/keys/{keyName}', unlimited, deleteSshKey],

  [2, 'GET', '/organizations', superUserOnly, listOrganizations],
  [2, 'POST', '/organizations', superUserOnly, createOrganization],
  [2, 'GET', '/organizations/{organizationID}', foundWith('read'), getOrganization],
  [2, 'PATCH', '/organizations/{organizationID}', adminOnly(organizationInPath), patchOrganization],
  ...memberRows({
    type: 'organization',
    path: '/organizations/{organizationID}',
    read: memberOnly(organizationInPath),
    write: adminOnly(organizationInPath),
  }),

  [2, 'GET', '/projects', signedIn, listProjects],
  [2, 'POST', '/projects', superUserOnly, createProject],
  [2, 'GET', '/projects/{projectID}', memberOnly(projectInPath), getProject],
  [2, 'PATCH', '/projects/{projectID}', adminOnly(projectInPath), patchProject],
  [2, 'DELETE', '/projects/{projectID}', adminOnly(projectInPath), deleteProject],
  [2, 'GET', '/projects/{projectID}/quota', memberOnly(projectInPath), getQuota],
  [2, 'PUT', '/projects/{projectID}/quota', superUserOnly, putQuota],
  ...memberRows({
    type: 'project',
    path: '/projects/{projectID}',
    read: memberOnly(projectInPath),
    write: adminOnly(projectInPath),
  }),
];

/** Labels, and the resources that have them. */
const labelRoutes: readonly Row[] = [
  [2, 'GET', '/labels', signedIn, listLabels],
  [2, 'POST', '/labels', signedIn, createLabel],
  [2, 'GET', '/labels/{labelID}', foundWith('read'), getLabel],
  [2, 'PATCH', '/labels/{labelID}', foundWith('operate'), patchLabel],
  [2, 'DELETE', '/labels/{labelID}', foundWith('operate'), deleteLabel],
  ...labelRows({
    type: 'instance',
    path: '/instances/{instanceID}',
    read: memberOnly(projectOfInstance),
    write: onInstance('update'),
  }),
  ...labelRows({
    type: 'project',
    path: '/projects/{projectID}',
    read: memberOnly(projectInPath),
    write: adminOnly(projectInPath),
  }),
  ...labelRows({
    type: 'organization',
    path: '/organizations/{organizationID}',
    read: memberOnly(organizationInPath),
    write: adminOnly(organizationInPath),
  }),
  ...labelRows({ type: 'user', path: '/users/{userID}', read: selfOnly, write: superUserOnly }),
];

const imageRoutes: readonly Row[] = [
  [1, 'GET', '/organizations/{organizationID}/regions/{regionID}/images', foundWith('read'), listImages],
  [2, 'GET', '/regions/{regionID}/images/{imageID}', foundWith('read'), getImage],
  [2, 'POST', '/instances/{instanceID}/snapshot', onInstance('images'), createSnapshot],
  [2, 'GET', '/images', signedIn, listAllImages],
  [2, 'POST', '/images', signedIn, createImage],
  [2, 'GET', '/images/{imageID}', foundWith('read'), getAnyImage],
  [2, 'PATCH', '/images/{imageID}', mayChangeImage, patchImage],
  [2, 'DELETE', '/images/{imageID}', mayChangeImage, deleteImage],
  [2, 'GET', '/images/{imageID}/content', mayChangeImage, getImageContent],
  [2, 'PATCH', '/images/{imageID}/content', mayChangeImage, appendImageContent],
];

/** What superusers do to the whole site. */
const adminRoutes: readonly Row[] = [
  [2, 'DELETE', '/admin/task_queue', superUserOnly, clearTaskQueue],
  [2, 'POST', '/admin/restart', superUserOnly, restartFailedTasks],
  [2, 'GET', '/admin/events', superUserOnly, listAdminEvents],
  [2, 'POST', '/admin/revert', superUserOnly, revertChange],
  [2, 'GET', '/admin/settings', superUserOnly, getSettings],
  [2, 'PATCH', '/admin/settings', superUserOnly, patchSettings],
  [2, 'GET', '/admin/service_flags', superUserOnly, getServiceFlags],
  [2, 'PUT', '/admin/service_flags', superUserOnly, putServiceFlags],
  [2, 'PATCH', '/admin/service_flags', superUserOnly, patchServiceFlags],
  [2, 'GET', '/admin/banner', anyone, getBanner],
  [2, 'PUT', '/admin/banner', superUserOnly, putBanner],
];

/**
 * What the owners of subscriptions do; the data layer decides who owns them. A subscription would outlive the limits of
 * a credential, and tell more than it sees.
 */
const ofOwner = foundWith('administer', unlimited);
const subscriptionRoutes: readonly Row[] = [
  [2, 'GET', '/subscriptions', unlimited, listSubscriptions],
  [2, 'POST', '/subscriptions', unlimited, putSubscription],
  [2, 'DELETE', '/subscriptions', unlimited, deleteSubscriptionByQuery],
  [2, 'GET', '/subscriptions/{subscriptionID}', ofOwner, getSubscription],
  [2, 'DELETE', '/subscriptions/{subscriptionID}', ofOwner, deleteSubscription],
  [2, 'POST', '/subscriptions/{subscriptionID}/ping', ofOwner, pingSubscription],
  [2, 'GET', '/subscriptions/{subscriptionID}/deliveries', ofOwner, listDeliveries],
  [2, 'GET', '/subscriptions/{subscriptionID}/deliveries/{deliveryID}', ofOwner, getDelivery],
  [2, 'POST', '/subscriptions/{subscriptionID}/deliveries/{deliveryID}/replay', ofOwner, replayDelivery],
];

/** Instances, and what works on them. */
const instanceRoutes = ({ streams }: RouteOptions): readonly Row[] => [
  [2, 'GET', '/instances', signedIn, listInstances],
  [2, 'POST', '/instances', signedIn, createInstance],
  [2, 'POST', '/instances/actions', signedIn, actOnInstances],
  [2, 'GET', '/instances/{instanceID}', memberOnly(projectOfInstance), getInstance],
  [2, 'PUT', '/instances/{instanceID}', onInstance('update'), updateInstance],
  [2, 'PATCH', '/instances/{instanceID}', onInstance('update'), patchInstance],
  [2, 'DELETE', '/instances/{instanceID}', onInstance('delete'), deleteInstance],
  [2, 'POST', '/instances/{instanceID}/restore', onInstance('update'), restoreInstance],
  [2, 'POST', '/instances/{instanceID}/start', onInstance('start'), startInstance],
  [2, 'POST', '/instances/{instanceID}/stop', onInstance('stop'), stopInstance],
  [2, 'POST', '/instances/{instanceID}/reboot', onInstance('reboot'), rebootInstance],
  [2, 'GET', '/instances/{instanceID}/timeline', memberOnly(projectOfInstance), getTimeline],
  [2, 'GET', '/instances/{instanceID}/consoleoutput', mayReadConsole, getConsoleOutput(streams)],
  [2, 'POST', '/instances/{instanceID}/extend_expiration', onInstance('extend'), extendExpiration],

  [2, 'GET', '/tasks', signedIn, listTasks],
  [2, 'GET', '/tasks/{taskID}', memberOnly(projectOfTask), getTask],
  [2, 'PATCH', '/tasks/{taskID}', mayOperateTask, taskExecutionPatchHandler],
  [2, 'POST', '/tasks/{taskID}/abort', mayOperateTask, abortTask],
  [2, 'POST', '/tasks/{taskID}/restart', mayOperateTask, restartTask],
];

/** The signature of the body says who may call it. */
function hookRoutes({ githubSecret = '' }: RouteOptions): Row[] {
  return githubSecret === '' ? [] : [[2, 'POST', '/hooks/github', signed, receiveGitHub(githubSecret)]];
}

/** `document` renders the OpenAPI document. */
export function routeTable(options: RouteOptions, document: () => string): Row[] {
  const wellKnown = (operationId: string) => getProtectedResource(operationId, options);
  const below = pathsBelow(options.publicUrl(), '/.well-known/oauth-protected-resource');
  return [
    ...instanceRoutes(options),
    [2, 'GET', '/status/recent_tasks', signedIn, getRecentTasks],
    [2, 'GET', '/status/queue', superUserOnly, getQueueStatus],
    ...adminRoutes,
    ...imageRoutes,

    [2, 'GET', '/setup', anyone, getSetup],
    [2, 'POST', '/setup', anyone, createSetup],

    ...peopleRoutes,
    ...subscriptionRoutes,
    ...labelRoutes,
    [2, 'POST', '/signin', signedIn, signIn(options.publicUrl)],
    [2, 'POST', '/signout', signedIn, signOut(options.publicUrl)],
    ...hookRoutes(options),
    [2, 'GET', '/networks', signedIn, listNetworks],
    [2, 'GET', '/networks/{networkID}', foundWith('read'), getNetwork],
    [2, 'GET', '/events', signedIn, listEvents(options.streams)],
    [2, 'GET', '/status/drift', signedIn, listDrift],

    [1, 'GET', '/organizations/{organizationID}/regions', foundWith('read'), listRegions],
    [2, 'GET', '/regions/{regionID}', foundWith('read'), getRegion],
    [1, 'GET', '/organizations/{organizationID}/regions/{regionID}/flavors', foundWith('read'), listFlavors],
    [2, 'GET', '/regions/{regionID}/flavors/{flavorID}', foundWith('read'), getFlavor],

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
    [root, 'GET', '/page/{file}', anyone, getPageAsset],
  ];
}
