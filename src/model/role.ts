/**
 * Who may do what in a project: the one table of roles and rights, from which the checks of requests, docs/roles.md and
 * their tests are made.
 */

/** What a caller may do in a project. */
export const rights = {
  read: 'see the project and what is in it',
  operate: 'create, change, start, stop and delete instances, and control their tasks',
  console: 'read the console output of instances',
  secrets: 'read and set secrets of the project',
  administer: 'change the project, and who is in it',
} as const;

export type Right = keyof typeof rights;

/** The roles of a project, the weakest first. */
export const projectRoles = ['reader', 'operator', 'admin'] as const;

export type ProjectRole = (typeof projectRoles)[number];

export type Role = ProjectRole | 'superuser';

const all = Object.keys(rights) as Right[];

export const roleRights: Readonly<Record<Role, readonly Right[]>> = {
  reader: ['read'],
  operator: ['read', 'operate', 'console'],
  admin: all,
  // In every project.
  superuser: all,
};

/** What a credential allows at most, whatever its user may do. An absent member limits nothing. */
export interface Limits {
  readonly rights?: readonly Right[] | undefined;
  readonly projectIds?: readonly string[] | undefined;
}

const none: readonly Right[] = [];

/** The rights of a caller in a project in which they have this role; undefined: none. */
export function rightsOf(
  { superUser, limits }: { superUser: boolean; limits?: Limits | undefined },
  role: ProjectRole | undefined,
  projectId: string,
): readonly Right[] {
  const held = superUser ? roleRights.superuser : role === undefined ? none : roleRights[role];
  if (limits === undefined) return held;
  if (limits.projectIds?.includes(projectId) === false) return none;
  return held.filter((right) => limits.rights?.includes(right) ?? true);
}
