/** The filters of a list of instances. */
import { type Static, Type } from 'typebox';
import type { InstanceFilter } from '../data/instance-filter.js';
import { ProvisioningStatus, Timestamp, Uuid } from '../model/common.js';
import { ApiError } from '../model/error.js';
import { PowerState } from '../model/power.js';
import { labelFilter } from './label.js';
import { timeOf } from './time-window.js';

const Ids = Type.Array(Uuid, { maxItems: 100 });

export const instanceFilters = Type.Object(
  {
    organizationID: Type.Optional(Ids),
    projectID: Type.Optional(Ids),
    regionID: Type.Optional(Ids),
    networkID: Type.Optional(Ids),
    flavorID: Type.Optional(Ids),
    imageID: Type.Optional(Ids),
    name: Type.Optional(
      Type.Array(Type.String({ pattern: '^[a-z0-9][-a-z0-9]{0,62}\\*?$' }), {
        maxItems: 100,
        description: 'The name; or, as the only value, how it begins, followed by "*".',
      }),
    ),
    status: Type.Optional(
      Type.Array(ProvisioningStatus, { maxItems: 10, description: 'As `metadata.provisioningStatus`.' }),
    ),
    powerState: Type.Optional(
      Type.Array(PowerState, { maxItems: 10, description: 'As `status.powerState`.' }),
    ),
    tag: Type.Optional(
      Type.Array(
        Type.String({ pattern: '^[^=]+=', description: 'name=value; the value may contain more "=".' }),
        { maxItems: 32 },
      ),
    ),
    ...labelFilter,
    trashed: Type.Optional(Type.Boolean({ description: 'Whether the instance is in the trash.' })),
    createdAfter: Type.Optional({ ...Timestamp, description: 'RFC 3339. Created at this time or later.' }),
    createdBefore: Type.Optional({ ...Timestamp, description: 'RFC 3339. Created before this time.' }),
  },
  { additionalProperties: false },
);

export function instanceFilterOf(query: Static<typeof instanceFilters>): InstanceFilter {
  return {
    organizationIds: query.organizationID,
    projectIds: query.projectID,
    regionIds: query.regionID,
    networkIds: query.networkID,
    flavorIds: query.flavorID,
    imageIds: query.imageID,
    statuses: query.status,
    powerStates: query.powerState,
    tags: query.tag,
    labels: query.labelID,
    trashed: query.trashed,
    createdAfter: timeOf('createdAfter', query.createdAfter),
    createdBefore: timeOf('createdBefore', query.createdBefore),
    ...named(query.name),
  };
}

function named(names: readonly string[] | undefined): Pick<InstanceFilter, 'names' | 'namePrefix'> {
  const prefix = names?.find((name) => name.endsWith('*'));
  if (prefix === undefined) return { names };
  if (names?.length === 1) return { namePrefix: prefix.slice(0, -1) };
  const message = 'A name that ends with "*" must be the only value.';
  throw new ApiError('invalid_parameter', `name: ${message}`, { errors: [{ parameter: 'name', message }] });
}
