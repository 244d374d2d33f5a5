/** Where instances live and who may use them. Model: Evergreen's ProjectRef (admins), Unikorn's project scope. */
import { Type, type Static } from 'typebox';
import { defined, NamedMetadata, OrganizationMetadata, Uuid } from './common.js';
import { type MergePatch, patchOf } from './merge-patch.js';
import { type ProjectRole, type Right, rightsOf } from './role.js';
import { grantedRole, strongest } from './token.js';
import type { Principal } from './user.js';

/** What has members: ids of users, by role. */
export interface Peopled {
  admins?: string[];
  /** The operators. */
  members?: string[];
  readers?: string[];
}

export interface ProjectRecord {
  organizationId: string;
  name: string;
  description?: string;
  /** Ids. */
  labels?: string[];
  /** User ids, by role: members are the operators. Who is in several has the strongest of them. */
  admins: string[];
  members: string[];
  /** Absent in older records, and where there are none. */
  readers?: string[];
  enabled: boolean;
  creationTime: string;
  createdBy: string;
  modifiedTime?: string;
  modifiedBy?: string;
  /** Since then it is being deleted, and accepts no new work. */
  deletionTime?: string;
  /** Whether its use is kept in `quotas`, since it has or had limits. */
  limited?: boolean;
}

export const Project = Type.Object(
  {
    metadata: OrganizationMetadata,
    spec: Type.Object(
      {
        enabled: Type.Boolean({ description: 'A disabled project accepts no new work.' }),
        admins: Type.Array(Type.String(), { description: 'User ids.' }),
        members: Type.Array(Type.String(), { description: 'User ids of the operators.' }),
        readers: Type.Optional(
          Type.Array(Type.String(), { description: 'User ids; absent if there are none.' }),
        ),
      },
      { title: 'ProjectSpec', additionalProperties: false },
    ),
  },
  { title: 'Project', additionalProperties: false },
);
export type Project = Static<typeof Project>;

export const ProjectCreate = Type.Object(
  {
    metadata: NamedMetadata,
    spec: Type.Object({ organizationId: Uuid }, { title: 'ProjectCreateSpec', additionalProperties: false }),
  },
  { title: 'ProjectCreate', additionalProperties: false },
);
export type ProjectCreate = Static<typeof ProjectCreate>;

const ProjectUpdate = Type.Object(
  {
    metadata: NamedMetadata,
    spec: Type.Object(
      { enabled: Type.Boolean({ description: 'A disabled project accepts no new work.' }) },
      { title: 'ProjectUpdateSpec', additionalProperties: false },
    ),
  },
  { title: 'ProjectUpdate', additionalProperties: false },
);

export const ProjectPatch = patchOf(ProjectUpdate);
export type ProjectPatch = MergePatch<Static<typeof ProjectUpdate>>;

export function presentProject(id: string, project: ProjectRecord): Project {
  const { name, description, creationTime, createdBy, modifiedTime, modifiedBy } = project;
  const { organizationId, enabled, admins, members, readers, deletionTime, labels } = project;
  const changes = { creationTime, createdBy, modifiedTime, modifiedBy, deletionTime };
  return {
    metadata: {
      ...defined({ id, name, description, labels, ...changes }),
      provisioningStatus: deletionTime === undefined ? 'provisioned' : 'deprovisioning',
      healthStatus: 'healthy',
      organizationId,
    },
    spec: defined({ enabled, admins, members, readers }),
  };
}

/** The role of a user in the project, or in what else has members; undefined for whoever is not in it. */
export function roleIn({ admins, members, readers }: Peopled, userId: string): ProjectRole | undefined {
  if (admins?.includes(userId) === true) return 'admin';
  if (members?.includes(userId) === true) return 'operator';
  return readers?.includes(userId) === true ? 'reader' : undefined;
}

/** Everybody who is in it, each once. */
export function peopleIn({ admins = [], members = [], readers = [] }: Peopled): string[] {
  return [...new Set([...admins, ...members, ...readers])];
}

/** What the caller may do in the project. */
export function rightsIn(
  { id, value }: { id: string; value: ProjectRecord },
  caller: Pick<Principal, 'id' | 'superUser' | 'everyProject' | 'limits' | 'grants'>,
): readonly Right[] {
  const { grants } = caller;
  const role = roleIn(value, caller.id);
  const granted = grants === undefined ? undefined : grantedRole(grants, id, value.organizationId);
  return rightsOf(caller, strongest(role, granted), id);
}
