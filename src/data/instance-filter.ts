/** Which instances a list has. */
import { defined, type ProvisioningStatus } from '../model/common.js';
import type { PowerState } from '../model/power.js';
import type { Caller } from './caller.js';
import type { ContentsFilter } from './project.js';
import type { Span } from './store/port.js';
import { madeIn } from './task.js';

export interface InstanceFilter {
  organizationIds?: readonly string[] | undefined;
  projectIds?: readonly string[] | undefined;
  regionIds?: readonly string[] | undefined;
  networkIds?: readonly string[] | undefined;
  statuses?: readonly ProvisioningStatus[] | undefined;
  powerStates?: readonly PowerState[] | undefined;
  flavorIds?: readonly string[] | undefined;
  imageIds?: readonly string[] | undefined;
  /** Whether it is in the trash. */
  trashed?: boolean | undefined;
  names?: readonly string[] | undefined;
  /** How the name begins. */
  namePrefix?: string | undefined;
  /** Creation time, ms since 1970: from the first (inclusive) to the second (exclusive). */
  createdAfter?: number | undefined;
  createdBefore?: number | undefined;
  /** `name=value`; an instance must have all of them. */
  tags?: readonly string[] | undefined;
  /** Ids; an instance must have all of them. */
  labels?: readonly string[] | undefined;
  /** Names of the users who have created them. */
  creators?: readonly string[] | undefined;
}

/** The query for the instances of the filter that the credential of the caller covers. */
export function contentsOf({ principal }: Caller, filter: InstanceFilter): ContentsFilter {
  const within = principal.limits?.tags;
  const tags = within === undefined ? filter.tags : [...new Set([...(filter.tags ?? []), ...within])];
  const columns = {
    organization_id: filter.organizationIds,
    region_id: filter.regionIds,
    network_id: filter.networkIds,
    status: filter.statuses,
    power_state: filter.powerStates,
    flavor_id: filter.flavorIds,
    image_id: filter.imageIds,
    name: filter.names,
    created_by: filter.creators,
    trash: filter.trashed === false ? null : undefined,
  };
  const { projectIds } = filter;
  const has = defined({ tags, labels: filter.labels });
  return defined({ projectIds, columns, has, span: spansOf(filter) });
}

function spansOf({ namePrefix, createdAfter, createdBefore, trashed }: InstanceFilter): Span[] | undefined {
  const spans: Span[] = [];
  if (trashed === true) spans.push({ column: 'trash', from: 1 });
  if (createdAfter !== undefined || createdBefore !== undefined)
    spans.push(madeIn(createdAfter, createdBefore));
  // No character of a name comes after "z".
  if (namePrefix !== undefined) spans.push({ column: 'name', from: namePrefix, before: `${namePrefix}{` });
  return spans.length === 0 ? undefined : spans;
}
