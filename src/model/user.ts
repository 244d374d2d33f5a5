/** People and programs that call the API. */
import { Type, type Static } from 'typebox';
import { defined, NamedMetadata, StaticMetadata, Uuid } from './common.js';
import { ApiError } from './error.js';
import { type MergePatch, patchOf } from './merge-patch.js';
import type { Grants, Limits } from './role.js';

export interface UserRecord {
  name: string;
  description?: string;
  /** Ids. */
  labels?: string[];
  /** An inactive user's keys are refused. */
  active: boolean;
  creationTime: string;
  createdBy?: string;
  modifiedTime?: string;
  modifiedBy?: string;
}

/** The identified caller of a request. */
export interface Principal {
  id: string;
  name: string;
  /** Power over the site; a limited credential has none, whoever its user is. */
  superUser: boolean;
  /** A limited credential of a superuser: it reaches every project, within its limits. */
  everyProject?: boolean | undefined;
  /** Of the credential; undefined: it allows whatever its user may do. */
  limits?: Limits | undefined;
  /** Roles that the credential brings with it. */
  grants?: Grants | undefined;
  /**
   * The API key that the request has shown, or with which its session has begun, and how often it had been rotated when
   * that secret was made.
   */
  keyId?: string | undefined;
  generation?: number | undefined;
  /** The session that the request belongs to. */
  sessionId?: string | undefined;
  /** Ms since 1970: from then on the credential, a token, is refused. */
  expires?: number | undefined;
}

const UserSpec = Type.Object(
  { active: Type.Boolean({ description: 'The credentials of an inactive user are refused.' }) },
  { title: 'UserSpec', additionalProperties: false },
);

export const User = Type.Object(
  { metadata: StaticMetadata, spec: UserSpec },
  { title: 'User', additionalProperties: false },
);
export type User = Static<typeof User>;

/** The caller; whether they are a superuser follows from the settings of the site. */
export const CurrentUser = Type.Object(
  {
    ...User.properties,
    status: Type.Object(
      {
        superUser: Type.Boolean(),
        projects: Type.Array(
          Type.Object(
            { projectId: Uuid, organizationId: Uuid, name: Type.String(), role: Type.String() },
            { title: 'Membership', additionalProperties: false },
          ),
          { description: 'Where the user is a member, and with which role.' },
        ),
      },
      { title: 'CurrentUserStatus', additionalProperties: false },
    ),
  },
  { title: 'CurrentUser', additionalProperties: false },
);
export type CurrentUser = Static<typeof CurrentUser>;

export const UserCreate = Type.Object(
  { metadata: NamedMetadata, spec: Type.Optional(UserSpec) },
  { title: 'UserCreate', additionalProperties: false },
);
export type UserCreate = Static<typeof UserCreate>;

const UserUpdate = Type.Object(
  {
    metadata: Type.Object(
      { description: NamedMetadata.properties.description },
      { title: 'UserUpdateMetadata', additionalProperties: false },
    ),
    spec: UserSpec,
  },
  { title: 'UserUpdate', additionalProperties: false },
);

export const UserPatch = patchOf(UserUpdate);
export type UserPatch = MergePatch<Static<typeof UserUpdate>>;

/** Names under which the site itself acts. */
const ownNames: readonly string[] = ['system', 'schedule'];

export function isOwnName(name: string): boolean {
  return ownNames.includes(name);
}

/** Throws for a name that would look like the site itself in tasks and records. */
export function checkUserName(name: string, pointer = '/metadata/name'): void {
  if (!isOwnName(name)) return;
  const message = `"${name}" stands for the site itself; choose a different name.`;
  throw new ApiError('unprocessable', message, { errors: [{ pointer, message }] });
}

export function presentUser(id: string, user: UserRecord): User {
  const { name, description, labels, active, creationTime, createdBy, modifiedTime, modifiedBy } = user;
  return {
    metadata: defined({ id, name, description, labels, creationTime, createdBy, modifiedTime, modifiedBy }),
    spec: { active },
  };
}
