/** Everything that `execute` may use: one part per resource. */
import { AdminData } from './admin.js';
import { ApiKeyData } from './api-key.js';
import { AuditData, auditHeads, auditRecords } from './audit.js';
import { catalogs } from './catalog.js';
import type { ChangeFeed } from './change-feed.js';
import { DispatchData, dispatchCursors } from './dispatch.js';
import { DriftData, drifts } from './drift.js';
import { EventData } from './event.js';
import { ExpiryData } from './expiry.js';
import { schema } from './migration/schema.js';
import type { HookRule } from '../model/hook.js';
import { FlavorData } from './flavor.js';
import { ImageData } from './image.js';
import { ImageUploadData } from './image-upload.js';
import { storedImages } from './stored-image.js';
import { idempotency, type IdempotencyData } from './idempotency.js';
import { HookData, hookEvents, hookInstances, hookJobs, hookPlaces } from './hook.js';
import { InstanceActionData } from './instance-action.js';
import { InstanceConsoleData } from './instance-console.js';
import { InstanceData, instances } from './instance.js';
import { keyTallies } from './key-limit.js';
import { keyUses } from './key-use.js';
import { LabelData, labels } from './label.js';
import { setups } from './first-superuser.js';
import { OnboardingData } from './onboarding.js';
import { MemberData } from './member.js';
import { NetworkData, networks } from './network.js';
import { OrganizationData, organizations } from './organization.js';
import { ProjectData, projects } from './project.js';
import { ProjectAdminData } from './project-admin.js';
import { quotas } from './quota.js';
import { QuotaData } from './quota-admin.js';
import { RegionData, regions, type RegionSource } from './region.js';
import type { ResourceData } from './resource.js';
import { RevertData } from './revert.js';
import { schedules } from './schedule.js';
import { secrets } from './secret.js';
import { banners, serviceFlags, type SettingsData, settings as storedSettings } from './settings.js';
import { type SessionData, sessions } from './session.js';
import { SshKeyData, sshKeys } from './ssh-key.js';
import { SnapshotData } from './snapshot.js';
import { StatusData } from './status.js';
import { trials } from './store/availability.js';
import type { CollectionSpec, Store } from './store/port.js';
import { storeVersion } from './store/version.js';
import { SubscriptionData, subscriptions, type WebhookRules } from './subscription.js';
import { TagScope } from './tag-scope.js';
import { TaskControl } from './task-control.js';
import { TaskData, tasks } from './task.js';
import { TimelineData } from './timeline.js';
import { identities, type TokenData } from './token.js';
import { apiKeys, formerKeys, type UserData, users } from './user.js';
import { deliveries, webhooks } from './webhook.js';
import { userSettings, UserSettingsData } from './user-settings.js';
import { workers } from './worker.js';

/** A collection, and the part of the connector that manages it. */
type Resource = readonly [
  collection: CollectionSpec<never>,
  part: new (...parameters: ConstructorParameters<typeof ResourceData>) => ResourceData,
];

/**
 * The stored resources, one line each. Those that need more than the store and the projects are in `createConnector`.
 */
const resources = {
  organizations: [organizations, OrganizationData],
  networks: [networks, NetworkData],
  drifts: [drifts, DriftData],
  sshKeys: [sshKeys, SshKeyData],
  labels: [labels, LabelData],
  userSettings: [userSettings, UserSettingsData],
  quotas: [quotas, QuotaData],
} satisfies Record<string, Resource>;

type Resources = {
  readonly [Name in keyof typeof resources]: InstanceType<(typeof resources)[Name][1]>;
};

export interface Connector extends Resources {
  readonly users: UserData;
  readonly tokens: TokenData;
  readonly sessions: SessionData;
  readonly apiKeys: ApiKeyData;
  readonly onboarding: OnboardingData;
  readonly tagScope: TagScope;
  readonly projects: ProjectData;
  readonly projectAdmin: ProjectAdminData;
  readonly members: MemberData;
  readonly regions: RegionData;
  readonly flavors: FlavorData;
  readonly images: ImageData;
  readonly snapshots: SnapshotData;
  readonly imageUploads: ImageUploadData;
  readonly instances: InstanceData;
  readonly instanceActions: InstanceActionData;
  readonly instanceConsoles: InstanceConsoleData;
  readonly expiry: ExpiryData;
  readonly tasks: TaskData;
  readonly events: EventData;
  readonly timelines: TimelineData;
  readonly taskControl: TaskControl;
  readonly status: StatusData;
  readonly admin: AdminData;
  readonly audit: AuditData;
  readonly reverts: RevertData;
  readonly subscriptions: SubscriptionData;
  readonly dispatch: DispatchData;
  readonly hooks: HookData;
  readonly settings: SettingsData;
  readonly idempotency: IdempotencyData;
  /** A number that changes with every write to the store, by any process. */
  readonly version: () => number;
}

/** Every collection of a store. */
export const collections: readonly CollectionSpec<never>[] = [
  schema,
  secrets,
  users,
  apiKeys,
  formerKeys,
  setups,
  keyTallies,
  keyUses,
  identities,
  sessions,
  projects,
  ...Object.values(resources).map(([collection]) => collection),
  auditRecords,
  auditHeads,
  storedSettings,
  serviceFlags,
  banners,
  subscriptions,
  deliveries,
  webhooks,
  dispatchCursors,
  hookEvents,
  hookJobs,
  hookInstances,
  hookPlaces,
  regions,
  storedImages,
  instances,
  tasks,
  idempotency,
  workers,
  schedules,
  catalogs,
  trials,
];

export function createConnector(
  store: Store,
  people: Pick<Connector, 'users' | 'tokens' | 'sessions'>,
  idempotencyData: IdempotencyData,
  regionSource: RegionSource,
  feed: ChangeFeed,
  settings: SettingsData,
  outside: { webhooks: WebhookRules; hooks: { github: { rules: readonly HookRule[] } } },
  onboarding = false,
): Connector {
  const { users: userData } = people;
  const projectData = new ProjectData(store);
  const parts = Object.fromEntries(
    Object.entries(resources).map(([name, [, Part]]) => [name, new Part(store, projectData)]),
  ) as unknown as Resources;
  const { organizations: organizationData, networks: networkData } = parts;
  const regionData = new RegionData(store, regionSource, organizationData, projectData);
  const tagScope = new TagScope(store, projectData);
  const taskData = new TaskData(store, projectData, feed, tagScope);
  const instanceData = new InstanceData(store, projectData, networkData, regionData, settings);
  const [flavors, images] = [new FlavorData(regionData), new ImageData(store, projectData, regionData)];
  const taskControl = new TaskControl(store);
  return {
    ...parts,
    ...people,
    apiKeys: new ApiKeyData(store, userData, projectData),
    onboarding: new OnboardingData(store, userData, settings, onboarding),
    tagScope,
    projects: projectData,
    projectAdmin: new ProjectAdminData(store, projectData),
    members: new MemberData(store, projectData),
    regions: regionData,
    flavors,
    images,
    snapshots: new SnapshotData(store, images),
    imageUploads: new ImageUploadData(store, regionData),
    hooks: new HookData(
      store,
      { instances: instanceData, regions: regionData, flavors, images, settings },
      outside.hooks.github.rules,
    ),
    instances: instanceData,
    instanceActions: new InstanceActionData(store, projectData, instanceData, taskControl),
    instanceConsoles: new InstanceConsoleData(instanceData, regionData),
    expiry: new ExpiryData(store, instanceData, settings.expiry),
    tasks: taskData,
    timelines: new TimelineData(store, projectData),
    events: new EventData(store, projectData, people, feed, tagScope),
    taskControl,
    status: new StatusData(store, projectData, tagScope),
    admin: new AdminData(store, taskControl),
    audit: new AuditData(store),
    reverts: new RevertData(store, settings, parts.labels),
    subscriptions: new SubscriptionData(store, projectData, outside.webhooks),
    dispatch: new DispatchData(store, projectData, userData),
    settings,
    idempotency: idempotencyData,
    version: storeVersion(store),
  };
}
