/** What is known about a request besides its input. Built step by step: identification, prefetch, then read-only. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Interruption } from '../../model/interruption.js';
import type { Grants, Limits, Right } from '../../model/role.js';
import type { RequestLifetime } from './request-lifetime.js';
import type { Precondition } from './preconditions.js';
import type { ResponseData } from './response.js';

export interface User {
  id: string;
  name: string;
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
  /** The session that the request belongs to: its cookie was the credential. */
  sessionId?: string | undefined;
}

/** Whose Idempotency-Keys these are: a credential must not get what only another one may see. */
export function bearerOf(user: User | undefined): string {
  if (user === undefined) return '';
  const { id, limits, grants, keyId } = user;
  if (grants !== undefined) return `${id} ${grants.key}`;
  return limits === undefined ? id : `${id} ${keyId ?? JSON.stringify(limits)}`;
}

/** What identifies the caller of a request. */
export interface Shown {
  readonly headers: IncomingHttpHeaders;
  readonly method: string;
  readonly requestId: string;
  /** Whether the request is to begin a session. */
  readonly signsIn: boolean;
}

/** The project of a request, as far as access rules need it. */
export interface ProjectContext {
  id: string;
  /** What the user may do in it; nothing if they are not in it. */
  rightsOf(user: User): readonly Right[];
}

/** What a prefetch may add. */
export interface Fetched {
  readonly project?: ProjectContext | undefined;
  /** Id of the user to whom the path's resource belongs, if it is not a project's. */
  readonly ownerId?: string | undefined;
  /** The resource named by the path, in its public form: what was read for the access decision is not read again. */
  readonly found?: { readonly text: string; readonly revision: number } | undefined;
}

export interface RequestContext extends Fetched {
  readonly requestId: string;
  /** Aborts when the client disconnects or the request times out. Pass it to whatever takes time. */
  readonly signal: AbortSignal;
  /** The same for reads of the store, without the cost of creating a signal. */
  readonly interruption: Interruption;
  readonly user?: User | undefined;
  /** Seconds that the client would wait for the end of asynchronous work (RFC 7240); 0 if the route has none. */
  readonly wait: number;
  /** W3C trace context for the request's work. */
  readonly traceparent?: string | undefined;
  /** Throws 412 if the resource is not what If-Match or If-None-Match requires. */
  readonly precondition?: Precondition | undefined;
  /**
   * To be called before the effect of a change is stored: throws for a response that could not be sent, and returns,
   * with an Idempotency-Key, the writes that store it, for the batch of the effect.
   */
  readonly storeResponse?: ((data: ResponseData) => unknown[]) | undefined;
}

/**
 * The context while the pipeline builds it. All fields exist from the start: copies with more and more fields would
 * cost 5 µs.
 */
export class MutableContext implements RequestContext {
  readonly requestId: string;
  readonly lifetime: RequestLifetime;
  readonly wait: number;
  readonly traceparent: string | undefined;
  user: User | undefined = undefined;
  project: ProjectContext | undefined = undefined;
  ownerId: string | undefined = undefined;
  found: Fetched['found'] = undefined;
  precondition: RequestContext['precondition'] = undefined;
  storeResponse: RequestContext['storeResponse'] = undefined;

  constructor(requestId: string, lifetime: RequestLifetime, wait: number, traceparent: string | undefined) {
    this.requestId = requestId;
    this.lifetime = lifetime;
    this.wait = wait;
    this.traceparent = traceparent;
  }

  get signal(): AbortSignal {
    return this.lifetime.signal;
  }

  get interruption(): Interruption {
    return this.lifetime;
  }
}

/** State that the pipeline stores on koa's context. */
export interface PipelineState {
  requestId: string;
  lifetime: RequestLifetime;
  /** Seconds of `Prefer: wait`. */
  wait: number;
  traceparent?: string | undefined;
  /** The route's pattern, for logs and metrics. */
  routePattern?: string;
  user?: string;
  /** Whether the caller was identified by the cookie of a session. */
  ofSession?: boolean;
  /** What is known of a request that has reached its route. */
  context?: RequestContext;
  /** The cause of a refusal, and its reason, for the log. */
  cause?: string | undefined;
  reason?: string | undefined;
}

/** The project context, if a prefetch found one. */
export function getProjectContext(context: RequestContext): ProjectContext | undefined {
  return context.project;
}

/** The project context. Throws if none is set: the route lacks the prefetch, which is a bug, so 500. */
export function mustHaveProjectContext(context: RequestContext): ProjectContext {
  if (context.project === undefined)
    throw new Error('The route has no project context; add the prefetch that sets it.');
  return context.project;
}

/**
 * What the prefetch has read of the path's resource. Throws if there is nothing: the route lacks the prefetch, so 500.
 */
export function mustHaveFound(context: RequestContext): NonNullable<Fetched['found']> {
  if (context.found === undefined)
    throw new Error('The route has no resource; add the prefetch that reads it.');
  return context.found;
}

/** The caller. Throws if there is none: the route lacks an authenticator that requires one, so 500. */
export function mustHaveUser(context: RequestContext): User {
  if (context.user === undefined)
    throw new Error('The route has no user; add an authenticator that requires one.');
  return context.user;
}
