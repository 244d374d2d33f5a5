/** Schemas that several resources share. Model: Unikorn compute, `ProjectMetadata` and its layers. */
import { Type, type Static } from 'typebox';

/** The format alone would accept capitals and urn:uuid:, which never match a stored id. */
export const uuidPattern = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';

export const Uuid = Type.String({
  format: 'uuid',
  pattern: uuidPattern,
  description: 'UUID in lower case. Generated ids are UUIDv7, so id order is creation order.',
});

/** A DNS label (RFC 1123): what a hostname, a folder and a shell all accept without quoting. */
export const namePattern = '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$';

export const Name = Type.String({
  pattern: namePattern,
  minLength: 1,
  maxLength: 63,
  description: 'DNS label: 1-63 of a-z, 0-9 and "-", starting and ending with a letter or digit.',
});

export const Timestamp = Type.String({ format: 'date-time', description: 'RFC 3339, UTC.' });

export const Architecture = Type.Union([Type.Literal('x86_64'), Type.Literal('aarch64')]);
export type Architecture = Static<typeof Architecture>;

export const GpuVendor = Type.Union([Type.Literal('NVIDIA'), Type.Literal('AMD')]);

export const Tag = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 128 }),
    value: Type.String({ maxLength: 256 }),
  },
  { additionalProperties: false, title: 'Tag' },
);
export type Tag = Static<typeof Tag>;

export const WriteMetadata = Type.Object(
  {
    name: Name,
    description: Type.Optional(Type.String({ maxLength: 1024 })),
    tags: Type.Optional(Type.Array(Tag, { maxItems: 64 })),
  },
  { additionalProperties: false, title: 'WriteMetadata' },
);
export type WriteMetadata = Static<typeof WriteMetadata>;

/** What users write of a resource that is little more than its name. */
export const NamedMetadata = Type.Object(
  { name: Name, description: Type.Optional(Type.String({ maxLength: 1024 })) },
  { additionalProperties: false, title: 'NamedMetadata' },
);
export type NamedMetadata = Static<typeof NamedMetadata>;

export const ProvisioningStatus = Type.Union([
  Type.Literal('unknown'),
  Type.Literal('pending'),
  Type.Literal('provisioning'),
  Type.Literal('provisioned'),
  Type.Literal('deprovisioning'),
  Type.Literal('error'),
]);
export type ProvisioningStatus = Static<typeof ProvisioningStatus>;

export const HealthStatus = Type.Union([
  Type.Literal('unknown'),
  Type.Literal('healthy'),
  Type.Literal('degraded'),
  Type.Literal('error'),
]);
export type HealthStatus = Static<typeof HealthStatus>;

export const staticMetadata = {
  id: Uuid,
  name: Type.String(),
  description: Type.Optional(Type.String()),
  tags: Type.Optional(Type.Array(Tag)),
  labels: Type.Optional(
    Type.Array(Uuid, { description: 'Ids of its labels (sub-resource `labels`); absent: none.' }),
  ),
  creationTime: Timestamp,
  createdBy: Type.Optional(Type.String()),
  modifiedTime: Type.Optional(Timestamp),
  modifiedBy: Type.Optional(Type.String()),
};

export const StaticMetadata = Type.Object(staticMetadata, {
  title: 'StaticMetadata',
  additionalProperties: false,
});
export type StaticMetadata = Static<typeof StaticMetadata>;

const StatusDetail = Type.Object(
  { reason: Type.String(), message: Type.String() },
  { title: 'StatusDetail', additionalProperties: false },
);

const readMetadata = {
  ...staticMetadata,
  provisioningStatus: ProvisioningStatus,
  healthStatus: HealthStatus,
  provisioningStatusDetail: Type.Optional(StatusDetail),
  deletionTime: Type.Optional(Timestamp),
};

export const ReadMetadata = Type.Object(readMetadata, { title: 'ReadMetadata', additionalProperties: false });
export type ReadMetadata = Static<typeof ReadMetadata>;

export const OrganizationMetadata = Type.Object(
  { ...readMetadata, organizationId: Uuid },
  { title: 'OrganizationMetadata', additionalProperties: false },
);
export type OrganizationMetadata = Static<typeof OrganizationMetadata>;

export const ProjectMetadata = Type.Object(
  { ...readMetadata, organizationId: Uuid, projectId: Uuid },
  { title: 'ProjectMetadata', additionalProperties: false },
);
export type ProjectMetadata = Static<typeof ProjectMetadata>;

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Omits undefined members, so that JSON and types agree. */
export function defined<T extends object>(members: T): Defined<T> {
  const kept: Record<string, unknown> = {};
  for (const key in members) if (members[key] !== undefined) kept[key] = members[key];
  return kept as Defined<T>;
}

/** RFC 3339 in UTC with milliseconds: the only form of times in records and responses. */
export function timestamp(date: Date = new Date()): string {
  return date.toISOString();
}

/** When an id was generated (UUIDv7, RFC 9562), in ms since 1970. */
export function idTime(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

/**
 * The lowest id that can have been generated at this time (ms since 1970): the start or end of a time window over ids.
 */
export function firstIdAt(time: number): string {
  const hex = Math.max(0, time).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}
