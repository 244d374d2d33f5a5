/** Who owns projects and pays for them. */
import { Type, type Static } from 'typebox';
import { defined, NamedMetadata, StaticMetadata } from './common.js';
import { type MergePatch, patchOf } from './merge-patch.js';
import type { Peopled } from './project.js';

export interface OrganizationRecord extends Peopled {
  name: string;
  description?: string;
  /** Ids. */
  labels?: string[];
  creationTime: string;
  createdBy: string;
  modifiedTime?: string;
  modifiedBy?: string;
}

export const Organization = Type.Object(
  { metadata: StaticMetadata },
  { title: 'Organization', additionalProperties: false },
);
export type Organization = Static<typeof Organization>;

export const OrganizationCreate = Type.Object(
  { metadata: NamedMetadata },
  { title: 'OrganizationCreate', additionalProperties: false },
);
export type OrganizationCreate = Static<typeof OrganizationCreate>;

const OrganizationUpdate = Type.Object(
  { metadata: NamedMetadata },
  { title: 'OrganizationUpdate', additionalProperties: false },
);

export const OrganizationPatch = patchOf(OrganizationUpdate);
export type OrganizationPatch = MergePatch<Static<typeof OrganizationUpdate>>;

export function presentOrganization(id: string, organization: OrganizationRecord): Organization {
  const { name, description, labels, creationTime, createdBy, modifiedTime, modifiedBy } = organization;
  return {
    metadata: defined({ id, name, description, labels, creationTime, createdBy, modifiedTime, modifiedBy }),
  };
}
