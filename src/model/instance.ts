/**
 * A desired machine: the desired state (spec), the observed state (status) and the work in progress (tasks).
 *
 * Model: Unikorn Appendix A. Differences: `userData` is write-only, because it may contain secrets and every reader of
 * the instance would see them; a stopped instance is healthy if the stop was requested.
 */
import { Type, type Static } from 'typebox';
import {
  defined,
  type HealthStatus,
  ProjectMetadata,
  type ProvisioningStatus,
  type Tag,
  Timestamp,
  Uuid,
  WriteMetadata,
} from './common.js';
import type { Flavor } from './flavor.js';
import { PowerState } from './power.js';
import type { Charge } from './quota.js';

/** Anything that a region does not support is refused with 422 when the instance is created, never ignored. */
export const InstanceNetworking = Type.Object(
  {
    securityGroups: Type.Optional(Type.Array(Uuid, { maxItems: 64 })),
    publicIP: Type.Optional(Type.Boolean()),
    allowedSourceAddresses: Type.Optional(
      Type.Array(Type.String({ maxLength: 64, description: 'CIDR prefix.' }), { maxItems: 64 }),
    ),
  },
  { title: 'InstanceNetworking', additionalProperties: false },
);
export type InstanceNetworking = Static<typeof InstanceNetworking>;

/** At most 64 KiB once decoded, as Nova and DigitalOcean have it. */
export const userDataLimit = 65536;

export const UserData = Type.String({
  maxLength: Math.ceil(userDataLimit / 3) * 4,
  pattern: '^[A-Za-z0-9+/]*={0,2}$',
  description:
    'cloud-init input, base64, at most 64 KiB decoded. Input that cloud-init would ignore is refused: MIME multipart whose parts cannot be read, broken gzip, cloud-config that is not a YAML mapping. Write-only.',
});

/** The members of `spec` that create and update share. */
export const writeSpec = {
  flavorId: Uuid,
  imageId: Uuid,
  networking: Type.Optional(InstanceNetworking),
  userData: Type.Optional(UserData),
  deletionProtection: Type.Optional(
    Type.Boolean({ description: 'Whether a delete of the instance is refused. Default: false.' }),
  ),
  expiresAt: Type.Optional({
    ...Timestamp,
    description:
      'RFC 3339. At this time the instance is deleted, with its machine and its disk. If omitted, the instance does not expire.',
  }),
};

export const InstanceCreate = Type.Object(
  {
    metadata: WriteMetadata,
    spec: Type.Object(
      {
        organizationId: Type.Optional(Uuid),
        projectId: Type.Optional({
          ...Uuid,
          description: 'May be omitted by a caller who is a member of exactly one project.',
        }),
        networkId: Type.Optional(Uuid),
        regionId: Type.Optional({
          ...Uuid,
          description: "Instead of `networkId`: uses the project's network `default` in that region.",
        }),
        ...writeSpec,
      },
      { title: 'InstanceCreateSpec', additionalProperties: false },
    ),
  },
  { title: 'InstanceCreate', additionalProperties: false },
);
export type InstanceCreate = Static<typeof InstanceCreate>;

export const InstanceStatus = Type.Object(
  {
    regionId: Uuid,
    networkId: Uuid,
    powerState: Type.Optional(PowerState),
    privateIP: Type.Optional(Type.String()),
    publicIP: Type.Optional(Type.String()),
    macAddress: Type.Optional(Type.String()),
    taskId: Type.Optional({
      ...Uuid,
      description: 'The task that is working on the instance, or that will be next.',
    }),
    expirationWarning: Type.Optional({
      ...Timestamp,
      description: 'When the instance was marked as about to expire.',
    }),
    trashedUntil: Type.Optional({
      ...Timestamp,
      description: 'The instance is in the trash: until then it can be restored, and then it is removed.',
    }),
    generation: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'Increases whenever a user changes what the instance should be.',
      }),
    ),
    observedGeneration: Type.Optional(
      Type.Integer({
        minimum: 0,
        description:
          'The last generation that has been carried out; 0: none yet. Equal to `generation`: the instance has been what it should be.',
      }),
    ),
  },
  { title: 'InstanceStatus', additionalProperties: false },
);

export const Instance = Type.Object(
  {
    metadata: ProjectMetadata,
    spec: Type.Object(
      {
        flavorId: Uuid,
        imageId: Uuid,
        deletionProtection: Type.Optional(
          Type.Boolean({ description: 'Whether a delete is refused; absent if not.' }),
        ),
        expiresAt: Type.Optional({ ...Timestamp, description: 'When the instance will be deleted.' }),
      },
      { title: 'InstanceSpec', additionalProperties: false },
    ),
    status: InstanceStatus,
  },
  { title: 'Instance', additionalProperties: false },
);
export type Instance = Static<typeof Instance>;

/** How the lifetime of an instance is extended: by hours, or up to a time. */
export const ExpirationExtension = Type.Object(
  {
    hours: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 8784,
        description: 'Hours to add to the current expiry.',
      }),
    ),
    expiresAt: Type.Optional({ ...Timestamp, description: 'RFC 3339, later than the current expiry.' }),
  },
  { title: 'ExpirationExtension', additionalProperties: false, minProperties: 1, maxProperties: 1 },
);
export type ExpirationExtension = Static<typeof ExpirationExtension>;

export interface InstanceRecord {
  organizationId: string;
  projectId: string;
  networkId: string;
  regionId: string;
  name: string;
  description?: string;
  /** Ids. */
  labels?: string[];
  tags?: Tag[];
  flavorId: string;
  imageId: string;
  /**
   * The flavor as it was when chosen, in case it is removed from the catalog. Absent for instances older than this
   * field.
   */
  flavor?: Flavor['spec'] | null;
  /** The flavor before a resize that has not succeeded yet; null: there is none. */
  resizedFrom?: { flavorId: string; flavor: Flavor['spec'] | null } | null;
  /** base64 */
  userData?: string;
  creationTime: string;
  createdBy: string;
  modifiedTime?: string;
  modifiedBy?: string;
  deletionTime?: string;
  provisioning: { status: ProvisioningStatus; reason?: string; message?: string };
  /** The revision that last changed what users may write. */
  wishRevision?: number;
  /** What the owner last requested. */
  desiredPower: 'running' | 'stopped';
  /** What the region last reported, or the state set by a verb that was just accepted. */
  powerState?: PowerState;
  powerMessage?: string;
  privateIP?: string;
  publicIP?: string;
  macAddress?: string;
  /** Ids of the unfinished tasks in the order in which they run. */
  openTasks: string[];
  /** RFC 3339, UTC. */
  expiresAt?: string;
  deletionProtection?: boolean;
  /** In the trash until then, RFC 3339, UTC; and the task that has put it there. */
  trashedUntil?: string;
  trashTaskId?: string;
  expirationWarning?: string;
  /** What is charged to the quota of its project; absent if that has no limits. */
  charged?: Charge;
  /** How often its machine has been started, as the region last reported. */
  boots?: number;
  /** The last `wishRevision` that was carried out; absent: none was. */
  doneRevision?: number;
  /** What happened to it, oldest first; absent for instances older than this field. */
  history?: HistoryEntry[];
  /** Past values of members that change by themselves; absent for instances older than this field. */
  shown?: ShownBefore;
}

/** One change of an instance: of its state, by a boot of its machine, or by a user. */
export interface HistoryEntry {
  time: string;
  powerState?: PowerState;
  status?: ProvisioningStatus;
  /** Why. */
  message?: string;
  boot?: number;
  /** The members that a user has changed, and who. */
  changed?: string[];
  user?: string;
}

/** Number of entries of the history that are kept: the newest. */
export const instanceHistoryLimit = 60;

/** Members of the public representation that change without a user's change of the same member. */
export type ObservedMember =
  | 'modifiedBy'
  | 'provisioningStatus'
  | 'healthStatus'
  | 'powerState'
  | 'privateIP'
  | 'publicIP'
  | 'macAddress'
  | 'expirationWarning';

export type ShownBefore = Partial<Record<ObservedMember, string[]>>;

/** Rules: Unikorn section 2.3, with a requested stop counted as healthy. */
export function healthOf(instance: InstanceRecord): HealthStatus {
  if (instance.provisioning.status === 'error' || instance.powerState === 'Error') return 'error';
  if (instance.powerState === 'Running') return 'healthy';
  if (instance.powerState === 'Stopped') return instance.desiredPower === 'stopped' ? 'healthy' : 'degraded';
  return 'unknown';
}

function statusDetail(instance: InstanceRecord): { reason: string; message: string } | undefined {
  const { reason, message } = instance.provisioning;
  if (message !== undefined) return { reason: reason ?? 'Errored', message };
  if (instance.powerMessage !== undefined) return { reason: 'Power', message: instance.powerMessage };
  return undefined;
}

export function presentInstance(id: string, instance: InstanceRecord): Instance {
  return {
    metadata: defined({
      id,
      name: instance.name,
      description: instance.description,
      tags: instance.tags,
      labels: instance.labels,
      creationTime: instance.creationTime,
      createdBy: instance.createdBy,
      modifiedTime: instance.modifiedTime,
      modifiedBy: instance.modifiedBy,
      deletionTime: instance.deletionTime,
      provisioningStatus: instance.provisioning.status,
      healthStatus: healthOf(instance),
      provisioningStatusDetail: statusDetail(instance),
      organizationId: instance.organizationId,
      projectId: instance.projectId,
    }),
    spec: defined({
      flavorId: instance.flavorId,
      imageId: instance.imageId,
      deletionProtection: instance.deletionProtection,
      expiresAt: instance.expiresAt,
    }),
    status: defined({
      regionId: instance.regionId,
      networkId: instance.networkId,
      powerState: instance.powerState,
      privateIP: instance.privateIP,
      publicIP: instance.publicIP,
      macAddress: instance.macAddress,
      taskId: instance.openTasks[0],
      expirationWarning: instance.expirationWarning,
      trashedUntil: instance.trashedUntil,
      generation: instance.wishRevision,
      observedGeneration: instance.wishRevision === undefined ? undefined : (instance.doneRevision ?? 0),
    }),
  };
}
