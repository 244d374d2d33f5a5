/** Bearer tokens of OpenID Connect issuers: what a verified one says, and the identities that users have at issuers. */
import type { Grants, ProjectRole } from './role.js';

/** What a verified token says. */
export interface Claimant {
  issuer: string;
  subject: string;
  /** The name that the issuer knows the subject by. */
  name: string;
  superUser: boolean;
  grants?: Grants | undefined;
  /** Ms since 1970: from then on the token is refused. */
  expires: number;
  /** Whether a subject without a user gets a new one, or the existing one with exactly its name. */
  users: 'create' | 'existing';
}

/** The user of a subject of an issuer. */
export interface IdentityRecord {
  issuer: string;
  subject: string;
  userId: string;
  creationTime: string;
}

/** Sets a role unless there is a stronger one. */
export function strongest(
  one: ProjectRole | undefined,
  other: ProjectRole | undefined,
): ProjectRole | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return strength[one] >= strength[other] ? one : other;
}

const strength: Readonly<Record<ProjectRole, number>> = { reader: 0, operator: 1, admin: 2 };

/** The role that grants give in a project. */
export function grantedRole(
  { projects, organizations }: Grants,
  projectId: string,
  organizationId: string,
): ProjectRole | undefined {
  return strongest(own(projects, projectId), own(organizations, organizationId));
}

function own<V>(record: Readonly<Record<string, V>>, name: string): V | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

/** The longest name of a user. */
const nameLimit = 63;

/** The name as a user's name: what those do not allow becomes "-". Undefined if nothing is left. */
export function userNameFrom(name: string): string | undefined {
  const plain = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, nameLimit)
    .replace(/-$/, '');
  return plain === '' ? undefined : plain;
}

/** The same with a suffix, for a name that is taken. */
export function distinctUserName(name: string, suffix: string): string {
  return `${name.slice(0, nameLimit - suffix.length - 1).replace(/-$/, '')}-${suffix}`;
}
