/** How much of each kind a project may use, and uses. */
import { Type, type Static } from 'typebox';
import { Uuid } from './common.js';
import { ApiError } from './error.js';
import type { Flavor } from './flavor.js';

/** What is limited, with what one unit is. */
const units = {
  instances: 'Number of instances.',
  cpus: 'Virtual CPUs of all instances, by their flavors.',
  memory: 'Memory of all instances in MiB, by their flavors.',
  disk: 'Root disks of all instances in GB, by their flavors.',
  snapshots:
    'Number of images that the project has made or uploaded. Not counted yet: a limit has no effect.',
} as const;

export type QuotaMember = keyof typeof units;
const members = Object.keys(units) as QuotaMember[];

/** An amount of some of the members; an absent one is 0. */
export type Charge = Partial<Record<QuotaMember, number>>;
export type Usage = Record<QuotaMember, number>;

const amount = (member: QuotaMember) =>
  Type.Integer({ minimum: 0, maximum: 1_000_000_000, description: units[member] });

export const QuotaLimits = Type.Object(
  {
    instances: Type.Optional(amount('instances')),
    cpus: Type.Optional(amount('cpus')),
    memory: Type.Optional(amount('memory')),
    disk: Type.Optional(amount('disk')),
    snapshots: Type.Optional(amount('snapshots')),
  },
  { title: 'QuotaLimits', additionalProperties: false, description: 'A member that is absent has no limit.' },
);
export type QuotaLimits = Static<typeof QuotaLimits>;

const QuotaUsage = Type.Object(
  {
    instances: amount('instances'),
    cpus: amount('cpus'),
    memory: amount('memory'),
    disk: amount('disk'),
    snapshots: amount('snapshots'),
  },
  { title: 'QuotaUsage', additionalProperties: false },
);

export const Quota = Type.Object(
  { projectId: Uuid, limits: QuotaLimits, used: QuotaUsage },
  { title: 'Quota', additionalProperties: false },
);
export type Quota = Static<typeof Quota>;

export const QuotaUpdate = Type.Object(
  { limits: QuotaLimits },
  { title: 'QuotaUpdate', additionalProperties: false },
);
export type QuotaUpdate = Static<typeof QuotaUpdate>;

export const nothingUsed: Usage = { instances: 0, cpus: 0, memory: 0, disk: 0, snapshots: 0 };

/**
 * What an instance uses; in the trash, only its disk. A flavor that is not known any more counts as nothing.
 */
export function chargeOf({
  flavor,
  trashedUntil,
}: {
  flavor?: Flavor['spec'] | null;
  trashedUntil?: string;
}): Charge {
  const { cpus = 0, memoryMiB: memory = 0, disk = 0 } = flavor ?? {};
  return trashedUntil === undefined ? { instances: 1, cpus, memory, disk } : { disk };
}

function combined(one: Charge, other: Charge, by: (one: number, other: number) => number): Usage {
  const values = members.map((member) => [member, by(one[member] ?? 0, other[member] ?? 0)]);
  return Object.fromEntries(values) as Usage;
}

export function sum(one: Charge, other: Charge): Usage {
  return combined(one, other, (a, b) => a + b);
}

/** What of `one` is left without `other`, but not less than nothing. */
export function without(one: Charge, other: Charge): Usage {
  return combined(one, other, (a, b) => Math.max(0, a - b));
}

export function larger(one: Charge, other: Charge): Usage {
  return combined(one, other, Math.max);
}

export function sameCharge(one: Charge, other: Charge): boolean {
  return members.every((member) => (one[member] ?? 0) === (other[member] ?? 0));
}

/** Throws if the limits do not allow to use more than before. `pointer`: the member of the request that asks for it. */
export function checkLimits(limits: QuotaLimits, used: Usage, more: Charge, pointer: string): void {
  const errors = members.flatMap((member) => {
    const [limit, wanted = 0] = [limits[member], more[member]];
    const left = Math.max(0, (limit ?? Infinity) - used[member]);
    if (limit === undefined || wanted <= left) return [];
    return [{ pointer, message: `${member}: ${wanted} more needed, but ${left} of ${limit} left.` }];
  });
  if (errors.length === 0) return;
  const what = errors.map(({ message }) => message).join(' ');
  throw new ApiError('quota_exceeded', `The quota of the project does not allow this. ${what}`, { errors });
}

/** Throws if a limit is below what is used. */
export function checkUsed(limits: QuotaLimits, used: Usage): void {
  const errors = members
    .filter((member) => used[member] > (limits[member] ?? Infinity))
    .map((member) => ({
      pointer: `/limits/${member}`,
      message: `${member}: ${used[member]} in use; the limit cannot be lower.`,
    }));
  if (errors.length === 0) return;
  throw new ApiError('unprocessable', errors.map(({ message }) => message).join(' '), { errors });
}
