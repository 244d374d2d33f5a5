/**
 * Who may pass. Names: Evergreen's REST v2 route package. Differences: anonymous callers pass only NoAuth; a missing
 * credential is 401; "you may not know" is the same constant 404.
 */
import { ApiError, notFound } from '../../model/error.js';
import type { RequestContext } from './context.js';

export interface Authenticator {
  readonly name: string;
  /** Whether the caller must be identified. Decided before any prefetch, so that anonymous callers cause no reads. */
  readonly needsUser: boolean;
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

/** Allows every identified user. */
export class RequireUserAuthenticator implements Authenticator {
  readonly name = 'RequireUser';
  readonly needsUser = true;
  authenticate(context: RequestContext): void {
    demandUser(context);
  }
}

/** Allows members and admins of the project context, and superusers. Others, and a missing context, get 404. */
export class ProjectMemberAuthenticator implements Authenticator {
  readonly name = 'ProjectMember';
  readonly needsUser = true;
  authenticate(context: RequestContext): void {
    const user = demandUser(context);
    if (context.project === undefined) throw notFound();
    if (!user.superUser && !context.project.isMember(user.id)) throw notFound(undefined, 'no member');
  }
}

/** Allows admins of the project context, and superusers. Members get 403, others 404. */
export class ProjectAdminAuthenticator implements Authenticator {
  readonly name = 'ProjectAdmin';
  readonly needsUser = true;
  authenticate(context: RequestContext): void {
    const user = demandUser(context);
    if (context.project === undefined) throw notFound();
    if (user.superUser || context.project.isAdmin(user.id)) return;
    if (!context.project.isMember(user.id)) throw notFound(undefined, 'no member');
    throw new ApiError('forbidden', 'Only admins of the project may do this.');
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
