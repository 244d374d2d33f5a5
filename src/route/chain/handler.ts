/** Handlers of resources, and the methods that they may have. Names: GoREST's rest package. */
import type { Environment, Job } from './job.js';

/** Its result, or what it resolves to: only `true` goes on to the next handler of the chain. */
export type Work = (job: Job) => unknown;

export interface ResourceHandler {
  /** Unique in its domain and resource. */
  readonly id: string;
  init?(environment: Environment, domain: string, resource: string): void | Promise<void>;
  /** When no request uses the handler any more, after it has been removed. */
  close?(): void | Promise<void>;
  get?: Work;
  read?: Work;
  head?: Work;
  put?: Work;
  update?: Work;
  post?: Work;
  create?: Work;
  patch?: Work;
  modify?: Work;
  delete?: Work;
  options?: Work;
  info?: Work;
}

/** The members that answer a method, the first one that the handler has. A client's text is never looked up itself. */
const members = {
  GET: ['get', 'read'],
  HEAD: ['head', 'get', 'read'],
  PUT: ['put', 'update'],
  POST: ['post', 'create'],
  PATCH: ['patch', 'modify'],
  DELETE: ['delete'],
  OPTIONS: ['options', 'info'],
} as const satisfies Record<string, readonly (keyof ResourceHandler)[]>;

export type ChainMethod = keyof typeof members;

export const chainMethods = Object.keys(members) as ChainMethod[];

export function isChainMethod(method: string): method is ChainMethod {
  return Object.hasOwn(members, method);
}

/** What the handler does for the method; undefined: it does not answer it. */
export function workOf(handler: ResourceHandler, method: ChainMethod): Work | undefined {
  for (const name of members[method]) {
    const work: unknown = handler[name];
    if (typeof work === 'function') return (work as Work).bind(handler);
  }
  return undefined;
}

/** The methods that every handler of the chain answers; OPTIONS is always one. */
export function allowedBy(handlers: readonly ResourceHandler[]): ChainMethod[] {
  return chainMethods.filter(
    (method) => method === 'OPTIONS' || handlers.every((one) => workOf(one, method) !== undefined),
  );
}
