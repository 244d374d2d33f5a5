/** What PUT and PATCH accept for an instance: the writable members, and any read-only ones that a GET returned. */
import { type TObject, type TSchema, Type, type Static } from 'typebox';
import { isDeepStrictEqual } from 'node:util';
import { defined, idTime, ProjectMetadata, WriteMetadata } from './common.js';
import type { FieldError } from './error.js';
import {
  healthOf,
  type Instance,
  type InstanceRecord,
  InstanceStatus,
  type ObservedMember,
  presentInstance,
  UserData,
  writeSpec,
} from './instance.js';
import { type MergePatch, patchOf } from './merge-patch.js';

/** The read-only members, each of which may be included. */
function readOnly(schema: TObject, writable: TObject): Record<string, TSchema> {
  const members = Object.entries(schema.properties as Record<string, TSchema>);
  return Object.fromEntries(
    members
      .filter(([name]) => !(name in writable.properties))
      .map(([name, member]) => {
        // As part of another schema it differs from the component with this title.
        const { title: _, ...plain } = member as TSchema & { title?: string };
        return [name, Type.Optional({ ...plain, readOnly: true })];
      }),
  );
}

const readOnlyMetadata = readOnly(ProjectMetadata, WriteMetadata);
const readOnlyStatus = readOnly(InstanceStatus, Type.Object({}));

const InstanceUpdateSpec = Type.Object(
  {
    ...writeSpec,
    userData: Type.Optional({
      ...UserData,
      description:
        'As in a create. If omitted, the stored value is kept, since it cannot be read back; if empty, it is cleared.',
    }),
  },
  { title: 'InstanceUpdateSpec', additionalProperties: false },
);

export const InstanceUpdate = Type.Object(
  {
    metadata: Type.Object(
      { ...WriteMetadata.properties, ...readOnlyMetadata },
      { title: 'InstanceUpdateMetadata', additionalProperties: false },
    ),
    spec: InstanceUpdateSpec,
    status: Type.Optional(
      Type.Object(readOnlyStatus, {
        title: 'InstanceUpdateStatus',
        additionalProperties: false,
        description: 'As returned by GET. Read-only; may be omitted.',
        readOnly: true,
      }),
    ),
  },
  { title: 'InstanceUpdate', additionalProperties: false },
);

/** The members that are written. */
export interface InstanceUpdate {
  metadata: Static<typeof WriteMetadata>;
  spec: Static<typeof InstanceUpdateSpec>;
}

export const InstancePatch = patchOf(InstanceUpdate);
export type InstancePatch = MergePatch<InstanceUpdate>;

/** Number of past values stored per member; a member with more may have shown any value. */
export const shownLimit = 20;

/** The members of an instance that change by themselves. */
export function observedOf(instance: InstanceRecord): Partial<Record<ObservedMember, string>> {
  const { modifiedBy, provisioning, powerState, privateIP, publicIP, macAddress, expirationWarning } =
    instance;
  const provisioningStatus = provisioning.status;
  const healthStatus = healthOf(instance);
  const told = { modifiedBy, provisioningStatus, healthStatus, powerState, privateIP, publicIP, macAddress };
  return defined({ ...told, expirationWarning });
}

/**
 * The read-only members that would be changed. A member that changes by itself may also have a value that it showed
 * before: otherwise what was read could not be written back after an observation. `current`: the client knows the
 * current revision, so any difference is intended. `whole`: a missing member was removed, not just omitted.
 */
export function readOnlyFaults(
  id: string,
  instance: InstanceRecord,
  wanted: Partial<Record<'metadata' | 'status', object>>,
  { current, whole }: { current: boolean; whole: boolean },
): FieldError[] {
  const shown = presentInstance(id, instance);
  const faults: FieldError[] = [];
  for (const [part, members] of [
    ['metadata', readOnlyMetadata],
    ['status', readOnlyStatus],
  ] as const) {
    const given = (wanted[part] ?? {}) as Record<string, unknown>;
    const known = shown[part] as Record<string, unknown>;
    for (const name of Object.keys(members)) {
      if (!whole && !(name in given)) continue;
      if (isSame(name, given[name], known[name])) continue;
      if (!current && wasShown(instance, shown, name, given[name])) continue;
      const message = 'This is read-only. Omit it, or send the value that you read.';
      faults.push({ pointer: `/${part}/${name}`, message });
    }
  }
  return faults;
}

const times = ['creationTime', 'modifiedTime', 'deletionTime', 'expirationWarning'];

/** Times are compared by value, since client libraries write RFC 3339 in different forms. */
function isSame(name: string, one: unknown, other: unknown): boolean {
  if (isDeepStrictEqual(one, other)) return true;
  return times.includes(name) && Date.parse(String(one)) === Date.parse(String(other));
}

/** Whether the instance may have shown this value before. */
function wasShown(instance: InstanceRecord, { metadata }: Instance, name: string, value: unknown): boolean {
  if (name === 'provisioningStatusDetail' || name === 'labels') return value !== undefined;
  if (name === 'generation' || name === 'observedGeneration')
    return Number(value) <= (instance.wishRevision ?? Infinity);
  if (typeof value !== 'string') return false;
  const made = Date.parse(metadata.creationTime);
  switch (name) {
    case 'modifiedTime': {
      const time = Date.parse(value);
      return time >= made && time <= Date.parse(metadata.modifiedTime ?? '');
    }
    case 'taskId': {
      const time = idTime(value);
      return time >= made - clockSkew && time <= Date.now() + clockSkew;
    }
    default: {
      if (!observedMembers.includes(name)) return false;
      const before = instance.shown?.[name as ObservedMember] ?? [];
      if (instance.shown === undefined || before.length >= shownLimit) return true;
      return before.some((one) => isSame(name, one, value));
    }
  }
}

const observedMembers: readonly string[] = [
  'modifiedBy',
  'provisioningStatus',
  'healthStatus',
  'powerState',
  'privateIP',
  'publicIP',
  'macAddress',
  'expirationWarning',
] satisfies ObservedMember[];

/** Milliseconds by which the clocks of processes that generate ids may differ. */
const clockSkew = 60_000;
