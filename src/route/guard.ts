/** Who may call a route: each rule under a name of its own, for the route table. */
import type { Connector } from '../data/connector.js';
import {
  NoAuthAuthenticator,
  ProjectAdminAuthenticator,
  ProjectMemberAuthenticator,
  RequireUserAuthenticator,
  SuperUserAuthenticator,
} from './pipeline/authenticator.js';
import type { MethodHandler, PrefetchFunc } from './pipeline/route-manager.js';

/** What decides about access, and what must be read for it first. */
export type Guard = Pick<MethodHandler<Connector>, 'authenticator' | 'prefetchFunctions'>;

/** Everybody, also without a credential. */
export const anyone: Guard = { authenticator: new NoAuthAuthenticator() };

/** Every identified user; what they may see is for the data layer to say. */
export const signedIn: Guard = { authenticator: new RequireUserAuthenticator() };

/** Superusers; everybody else finds no such thing. */
export const superUserOnly: Guard = { authenticator: new SuperUserAuthenticator() };

/** Members and admins of the project that `prefetch` finds, and superusers; everybody else finds no such thing. */
export function memberOnly(prefetch: PrefetchFunc<Connector>): Guard {
  return { authenticator: new ProjectMemberAuthenticator(), prefetchFunctions: [prefetch] };
}

/** Admins of that project, and superusers; its members are refused, and everybody else finds no such thing. */
export function adminOnly(prefetch: PrefetchFunc<Connector>): Guard {
  return { authenticator: new ProjectAdminAuthenticator(), prefetchFunctions: [prefetch] };
}
