/** What is known of a request besides its input. Built step by step: identification, prefetch, then read-only. */
import type { ResponseData } from './response.js';

export interface User {
  id: string;
  name: string;
  superUser: boolean;
}

/** The project that a request is about, as far as access rules need it. */
export interface ProjectContext {
  id: string;
  isMember(userId: string): boolean;
  isAdmin(userId: string): boolean;
}

export interface RequestContext {
  readonly requestId: string;
  /** Aborts when the client leaves or the request's time is up. Pass it down to whatever takes time. */
  readonly signal: AbortSignal;
  readonly user?: User;
  readonly project?: ProjectContext;
  /** Seconds that the client would wait for the end of asynchronous work (RFC 7240); 0 where the route has no such. */
  readonly wait: number;
  /** W3C trace context that goes on with the request's work. */
  readonly traceparent?: string;
  /** Throws 412 when the resource's revision is not what If-Match or If-None-Match demands. */
  readonly precondition?: (revision: number) => void;
  /** With an Idempotency-Key: the writes that keep the answer, to be put into the batch of the request's effect. */
  readonly remember?: (data: ResponseData) => unknown[];
}

/** The project context, if a prefetch found one. */
export function getProjectContext(context: RequestContext): ProjectContext | undefined {
  return context.project;
}

/** The project context. Throws when none is set: the route lacks the prefetch, which is our defect, so 500. */
export function mustHaveProjectContext(context: RequestContext): ProjectContext {
  if (context.project === undefined)
    throw new Error('The route has no project context; add the prefetch that sets it.');
  return context.project;
}

/** The caller. Throws when there is none: the route lacks an authenticator that demands one, so 500. */
export function mustHaveUser(context: RequestContext): User {
  if (context.user === undefined)
    throw new Error('The route has no user; add an authenticator that demands one.');
  return context.user;
}
