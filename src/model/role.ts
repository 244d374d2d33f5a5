/**
 * Who may do what in a project: the one table of roles and rights, from which the checks of requests, docs/roles.md and
 * their tests are made.
 */

/** What a caller may do in a project. */
export const rights = {
  read: 'see the project and what is in it',
  operate: 'create, change, start, stop and delete instances and images, and control their tasks',
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

/** What a limited key may be allowed to do besides reading, and the right that it needs. */
export const verbs = {
  create: { right: 'operate', meaning: 'create instances' },
  update: { right: 'operate', meaning: 'change instances' },
  start: { right: 'operate', meaning: 'start instances' },
  stop: { right: 'operate', meaning: 'stop instances' },
  reboot: { right: 'operate', meaning: 'reboot instances' },
  delete: { right: 'operate', meaning: 'delete instances, and replace their machines' },
  extend: { right: 'operate', meaning: 'extend the lifetime of instances' },
  images: { right: 'operate', meaning: 'create, upload, change and delete images' },
  tasks: { right: 'operate', meaning: 'activate, prioritise, abort and restart tasks' },
  console: { right: 'console', meaning: 'read the console output of instances' },
  secrets: { right: 'secrets', meaning: 'read and set secrets of the project' },
  administer: { right: 'administer', meaning: 'change the project, and who is in it' },
} as const satisfies Record<string, { right: Right; meaning: string }>;

export type Verb = keyof typeof verbs;

export const verbNames = Object.keys(verbs) as Verb[];

/** What a credential allows at most, whatever its user may do. An absent member limits nothing. */
export interface Limits {
  readonly rights?: readonly Right[] | undefined;
  readonly verbs?: readonly Verb[] | undefined;
  readonly projectIds?: readonly string[] | undefined;
  /** As `name=value`: only instances that have all of them. */
  readonly tags?: readonly string[] | undefined;
  /** How many instances that were created with it may exist at a time. */
  readonly maxInstances?: number | undefined;
  /** The longest lifetime of an instance that is created or changed with it, in milliseconds. */
  readonly lifetime?: number | undefined;
  /** What stops, restarts or destroys a machine must have been planned. */
  readonly requiresPlan?: boolean | undefined;
}

/** What decides about a caller's rights. */
export interface Holder {
  superUser: boolean;
  /** A limited credential of a superuser: no power over the site, but a role in every project. */
  everyProject?: boolean | undefined;
  limits?: Limits | undefined;
}

/** Roles that a credential brings with it, beside those that are stored: by project, and for all projects of an organization. */
export interface Grants {
  readonly projects: Readonly<Record<string, ProjectRole>>;
  readonly organizations: Readonly<Record<string, ProjectRole>>;
  /** The same for the same grants, and different for others. */
  readonly key: string;
}

const none: readonly Right[] = [];

/** The rights of a caller in a project in which they have this role; undefined: none. */
export function rightsOf(
  { superUser, everyProject, limits }: Holder,
  role: ProjectRole | undefined,
  projectId: string,
): readonly Right[] {
  const every = superUser || everyProject === true;
  const held = every ? roleRights.superuser : role === undefined ? none : roleRights[role];
  if (limits === undefined) return held;
  if (limits.projectIds?.includes(projectId) === false) return none;
  return held.filter((right) => limits.rights?.includes(right) ?? true);
}

/** The projects that a caller sees without being in them: all, these, or none. */
export function projectsBeyondMembership({
  superUser,
  everyProject,
  limits,
}: Holder): 'all' | 'none' | readonly string[] {
  if (superUser) return 'all';
  return everyProject === true ? (limits?.projectIds ?? 'all') : 'none';
}

/** Whether the credential of a caller allows the verb; their role may still not. */
export function allows({ limits }: Pick<Holder, 'limits'>, verb: Verb): boolean {
  return limits?.verbs?.includes(verb) ?? true;
}
