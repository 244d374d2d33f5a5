/** Who may call a route: named rules for the route table. */
import type { Connector } from '../data/connector.js';
import type { Right, Verb } from '../model/role.js';
import {
  NoAuthAuthenticator,
  OwnerAuthenticator,
  ProjectAdminAuthenticator,
  ProjectMemberAuthenticator,
  ProjectRightAuthenticator,
  RequireUserAuthenticator,
  SignatureAuthenticator,
  SuperUserAuthenticator,
  UnlimitedAuthenticator,
} from './pipeline/authenticator.js';
import type { MethodHandler, PrefetchFunc } from './pipeline/route-manager.js';
import { userInPath } from './prefetch.js';

/** The authenticator that decides about access, and the prefetches that it needs. */
export interface Guard extends Pick<MethodHandler<Connector>, 'authenticator' | 'prefetchFunctions'> {
  /** Beyond the authenticator: the right that the data layer demands in the project of what the path names. */
  readonly dataRight?: Right;
}

/** Everyone, even without a credential. */
export const anyone: Guard = { authenticator: new NoAuthAuthenticator() };

/** Whoever has signed the body with the secret of the route. */
export const signed: Guard = { authenticator: new SignatureAuthenticator() };

/** Every identified user; the data layer decides what they may see, and do within the limits of their credential. */
export const signedIn: Guard = { authenticator: new RequireUserAuthenticator() };

/** Every identified user, but no limited credential: for what belongs to the user and not to a project. */
export const unlimited: Guard = { authenticator: new UnlimitedAuthenticator() };

/**
 * As the guard says, and the data layer, which finds what the path names, demands the right in its project, or in one of
 * its organization: for what may belong to either, or to a user.
 */
export function foundWith(dataRight: Right, guard: Guard = signedIn): Guard {
  return { ...guard, dataRight };
}

/** The user whom `userID` of the path names, and superusers; everyone else gets 404. */
export const selfOnly: Guard = { authenticator: new OwnerAuthenticator(), prefetchFunctions: [userInPath] };

/** Superusers; everyone else gets 404. */
export const superUserOnly: Guard = { authenticator: new SuperUserAuthenticator() };

/** The verb that a limited credential needs, where a route names none. */
const usualVerbs: Readonly<Record<Right, Verb | undefined>> = {
  read: undefined,
  operate: 'update',
  console: 'console',
  secrets: 'secrets',
  administer: 'administer',
};

/** Those who have the right in the project that `prefetch` finds; its other members get 403, and everyone else 404. */
export function projectRight(
  right: Right,
  prefetch: PrefetchFunc<Connector>,
  verb: Verb | undefined = usualVerbs[right],
): Guard {
  return { authenticator: new ProjectRightAuthenticator(right, verb), prefetchFunctions: [prefetch] };
}

/** Everyone in the project that `prefetch` finds, and superusers; everyone else gets 404. */
export function memberOnly(prefetch: PrefetchFunc<Connector>): Guard {
  return { authenticator: new ProjectMemberAuthenticator(), prefetchFunctions: [prefetch] };
}

/** Admins of that project, and superusers; its members get 403, everyone else 404. */
export function adminOnly(prefetch: PrefetchFunc<Connector>): Guard {
  return { authenticator: new ProjectAdminAuthenticator(), prefetchFunctions: [prefetch] };
}
