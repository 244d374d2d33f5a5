/** Where instances live and who may use them. Model: Evergreen's ProjectRef (admins), Unikorn's project scope. */
import { Type, type Static } from 'typebox';
import { OrganizationMetadata } from './common.js';

export interface ProjectRecord {
  organizationId: string;
  name: string;
  description?: string;
  /** User ids. Admins are members too. */
  admins: string[];
  members: string[];
  enabled: boolean;
  creationTime: string;
  createdBy: string;
}

export const Project = Type.Object(
  {
    metadata: OrganizationMetadata,
    spec: Type.Object(
      {
        enabled: Type.Boolean({ description: 'A disabled project accepts no new work.' }),
        admins: Type.Array(Type.String(), { description: 'User ids.' }),
        members: Type.Array(Type.String(), { description: 'User ids.' }),
      },
      { title: 'ProjectSpec', additionalProperties: false },
    ),
  },
  { title: 'Project', additionalProperties: false },
);
export type Project = Static<typeof Project>;

export function presentProject(id: string, project: ProjectRecord): Project {
  return {
    metadata: {
      id,
      name: project.name,
      ...(project.description === undefined ? {} : { description: project.description }),
      creationTime: project.creationTime,
      createdBy: project.createdBy,
      provisioningStatus: 'provisioned',
      healthStatus: 'healthy',
      organizationId: project.organizationId,
    },
    spec: { enabled: project.enabled, admins: project.admins, members: project.members },
  };
}

/** Whether the user may use the project. */
export function isMember(project: ProjectRecord, userId: string): boolean {
  return project.members.includes(userId) || project.admins.includes(userId);
}

export function isAdmin(project: ProjectRecord, userId: string): boolean {
  return project.admins.includes(userId);
}
