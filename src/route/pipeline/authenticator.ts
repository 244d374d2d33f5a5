/**
 * Who may pass. Names: Evergreen's REST v2 route package. Differences: anonymous callers pass only NoAuth; a missing
 * credential is 401; "you may not know" is the same constant 404.
 */
import { ApiError, notFound, rightMissing } from '../../model/error.js';
import { allows, type Right, type Verb } from '../../model/role.js';
import type { RequestContext, User } from './context.js';

export interface Authenticator {
  readonly name: string;
  /** Whether the caller must be identified. Decided before any prefetch, so that anonymous callers cause no reads. */
  readonly needsUser: boolean;
  /** The right in the project that it demands, and the verb that a limited credential needs. */
  readonly right?: Right;
  readonly verb?: Verb | undefined;
  /** Throws the error for a refused caller. Sees only the context, never the request. */
  authenticate(context: RequestContext): void;
}

/**
 * 401, with the scheme that the client should use (RFC 9110 section 11.6.1). The reason of the refusal is only for the
 * log.
 */
export function unauthorized(credentialGiven: boolean, reason = 'missing'): ApiError {
  // RFC 6750 section 3.1: no error code if no credential was sent.
  const challenge = credentialGiven ? 'Bearer realm="copse", error="invalid_token"' : 'Bearer realm="copse"';
  const message = credentialGiven
    ? 'The credential is not valid.'
    : 'A credential is required: "Authorization: Bearer <API key>", or "Api-User" with "Api-Key".';
  return new ApiError('unauthorized', message, { reason, headers: { 'WWW-Authenticate': challenge } });
}

function demandUser(context: RequestContext) {
  if (context.user === undefined) throw unauthorized(false);
  return context.user;
}

/** Allows everyone. "Public" is explicit, never a default. */
export class NoAuthAuthenticator implements Authenticator {
  readonly name = 'NoAuth';
  readonly needsUser = false;
  authenticate(): void {
    // Nothing to refuse.
  }
}

/** Allows everyone: the handler verifies the signature of the body. */
export class SignatureAuthenticator implements Authenticator {
  readonly name = 'Signature';
  readonly needsUser = false;
  authenticate(): void {
    // The body has not been read yet.
  }
}

/** Allows every identified user. */
export class RequireUserAuthenticator implements Authenticator {
  readonly name = 'RequireUser';
  readonly needsUser = true;
  authenticate(context: RequestContext): void {
    demandUser(context);
  }
}

function limited(): ApiError {
  return new ApiError('forbidden', 'A limited credential may not do this.');
}

/** Throws unless the caller's credential allows the verb. */
export function demandVerb(user: Pick<User, 'limits'>, verb: Verb | undefined): void {
  if (verb === undefined || allows(user, verb)) return;
  throw new ApiError('forbidden', `Your credential does not allow the verb "${verb}".`);
}

/**
 * Allows every user, but no limited credential: what the user has outside of projects must not be changed with it.
 */
export class UnlimitedAuthenticator implements Authenticator {
  readonly name = 'Unlimited';
  readonly needsUser = true;
  authenticate(context: RequestContext): void {
    if (demandUser(context).limits !== undefined) throw limited();
  }
}

/**
 * Allows those who have the right in the project of the context. Those who may only see the project get 403; others, and
 * everyone if there is no project, get 404.
 */
export class ProjectRightAuthenticator implements Authenticator {
  readonly name: string = 'ProjectRight';
  readonly needsUser = true;
  readonly right: Right;
  readonly verb: Verb | undefined;

  constructor(right: Right, verb?: Verb) {
    this.right = right;
    this.verb = verb;
  }

  authenticate(context: RequestContext): void {
    const user = demandUser(context);
    if (context.project === undefined) throw notFound();
    const held = context.project.rightsOf(user);
    if (!held.includes('read')) throw notFound(undefined, 'no member');
    if (!held.includes(this.right)) throw rightMissing(this.right);
    demandVerb(user, this.verb);
  }
}

/** Allows everyone in the project of the context, and superusers. */
export class ProjectMemberAuthenticator extends ProjectRightAuthenticator {
  override readonly name = 'ProjectMember';
  constructor() {
    super('read');
  }
}

/** Allows admins of the project of the context, and superusers. */
export class ProjectAdminAuthenticator extends ProjectRightAuthenticator {
  override readonly name = 'ProjectAdmin';
  constructor() {
    super('administer', 'administer');
  }
}

/**
 * Allows the user to whom the path's resource belongs, and superusers. Others get 404. A limited credential gets 403: it
 * must not reach what could lift its limits.
 */
export class OwnerAuthenticator implements Authenticator {
  readonly name = 'Owner';
  readonly needsUser = true;
  authenticate(context: RequestContext): void {
    const user = demandUser(context);
    if (!user.superUser && context.ownerId !== user.id) throw notFound(undefined, 'not the owner');
    if (user.limits !== undefined) throw limited();
  }
}

/** Allows superusers. Others get 404: what only superusers see does not exist for them. */
export class SuperUserAuthenticator implements Authenticator {
  readonly name = 'SuperUser';
  readonly needsUser = true;
  authenticate(context: RequestContext): void {
    if (!demandUser(context).superUser) throw notFound(undefined, 'no superuser');
  }
}
