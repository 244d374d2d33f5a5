/**
 * Chains of handlers by domain and resource, which may change while the server runs. Names: GoREST's Multiplexer. The
 * differences from it, each with its reason, are in docs/chains.md.
 */
import type { Context, Middleware, Next } from 'koa';
import { ApiError } from '../../model/error.js';
import type { Log } from '../../model/log.js';
import type { PipelineState, User } from '../pipeline/context.js';
import { allowedBy, type ChainMethod, isChainMethod, type ResourceHandler, workOf } from './handler.js';
import { type Environment, Job, type JobParts } from './job.js';
import { baseOf, belowBase, type ChainOptions, JobPath } from './path.js';
import { type Chain, type Registration, Registry } from './registry.js';
import { TemplatesCache } from './templates.js';

export interface MultiplexerOptions extends ChainOptions {
  /** Who may call the chains: everyone who is identified, or anyone. Their own guards come on top. */
  access?: 'signedIn' | 'anyone';
}

/** What the chains share with the routes of the server. */
export interface ChainHost extends Pick<JobParts, 'readBody' | 'readForm'> {
  /** Identifies the caller, and applies the rate limit. Throws 401 without one. */
  admit: (ctx: Context) => Promise<User>;
  log: Log;
}

export class Multiplexer {
  readonly environment: Environment;
  readonly #base: readonly string[];
  readonly #registry: Registry;
  readonly #isOpen: boolean;
  readonly #ignoresFavicon: boolean;
  #host: ChainHost | undefined;

  constructor(options: MultiplexerOptions = {}) {
    const { defaultDomain = 'default', defaultResource = 'default', ignoreFavicon = true } = options;
    this.#base = baseOf(options);
    this.#isOpen = options.access === 'anyone';
    this.#ignoresFavicon = ignoreFavicon;
    this.environment = {
      basePath: `/${this.#base.join('/')}`,
      ...{ defaultDomain, defaultResource, templates: new TemplatesCache() },
    };
    this.#registry = new Registry(this.environment, (error) => {
      this.#host?.log.error({ err: error }, 'a handler of a chain could not be closed');
    });
  }

  /** Appends the handler to its chain, after its `init`. */
  register(domain: string, resource: string, handler: ResourceHandler): Promise<void> {
    return this.#registry.register(domain, resource, handler);
  }

  /** All of them, or none. */
  registerAll(registrations: readonly Registration[]): Promise<void> {
    return this.#registry.registerAll(registrations);
  }

  /** The whole chain at once. */
  replace(domain: string, resource: string, handlers: readonly ResourceHandler[]): Promise<void> {
    return this.#registry.replace(domain, resource, handlers);
  }

  /** Removes these handlers, or all; returns the ids of those that were there. */
  deregister(domain: string, resource: string, ...ids: string[]): string[] {
    return this.#registry.deregister(domain, resource, ...ids);
  }

  registeredHandlers(domain: string, resource: string): readonly string[] {
    return this.#registry.registeredHandlers(domain, resource);
  }

  /** Whether a route of this path would be hidden by the chains, or hide one. */
  overlaps(path: string): boolean {
    const segments = path.split('/').filter((one) => one !== '');
    return (
      segments.length >= this.#base.length &&
      this.#base.every((one, at) => segments[at] === one || segments[at]?.startsWith('{') === true)
    );
  }

  /** Answers what is below the base path, and leaves everything else to what follows. */
  middleware(host: ChainHost): Middleware {
    this.#host = host;
    return (ctx: Context, next: Next) => {
      const parts = belowBase(ctx.path, this.#base);
      return parts === undefined ? next() : this.#answer(ctx, parts, host);
    };
  }

  async #answer(ctx: Context, parts: readonly string[], host: ChainHost): Promise<void> {
    const state = ctx.state as PipelineState;
    state.routePattern = this.environment.basePath;
    if (this.#ignoresFavicon && parts.length === 1 && parts[0] === 'favicon.ico') {
      answerFavicon(ctx);
      return;
    }
    const user = this.#isOpen ? undefined : await host.admit(ctx);
    const { defaultDomain, defaultResource } = this.environment;
    const [domain = defaultDomain, resource = defaultResource, ...ids] = parts;
    const chain = this.#registry.find(domain, resource);
    if (chain === undefined)
      throw new ApiError(
        'not_found',
        `No handler is registered for ${domain.slice(0, 100)}/${resource.slice(0, 100)}.`,
      );
    // Never the id of a resource: metrics would have a series for each.
    if (this.#registry.registeredHandlers(domain, resource).length > 0)
      state.routePattern = `${this.environment.basePath}/${domain.toLowerCase()}/${resource.toLowerCase()}`;
    const method = methodOf(ctx, chain);
    const path = new JobPath([domain, resource, ...ids]);
    const job = new Job({
      ...{ ctx, environment: this.environment, base: this.#base, path, user },
      ...{ signal: state.lifetime.signal, readBody: host.readBody, readForm: host.readForm },
    });
    const done = this.#registry.use(chain);
    const running = run(job, chain, method);
    // A handler may go on after its request has timed out.
    running.then(done, done);
    await state.lifetime.race(running);
    if (ctx.respond !== false && ctx.body === undefined && ctx.status === 404) ctx.status = 204;
  }
}

function answerFavicon(ctx: Context): void {
  if (ctx.method !== 'GET' && ctx.method !== 'HEAD')
    throw new ApiError('method_not_allowed', 'Use GET or HEAD here.', { headers: { Allow: 'GET, HEAD' } });
  ctx.status = 204;
}

/** The method, which every handler of the chain must answer: nothing runs if it cannot run to its end. */
function methodOf(ctx: Context, chain: Chain): ChainMethod {
  const allowed = allowedBy(chain.map(({ handler }) => handler));
  const { method } = ctx;
  if (isChainMethod(method) && allowed.includes(method)) return method;
  const allow = [...allowed].sort().join(', ');
  throw new ApiError('method_not_allowed', `${method} is not allowed here; use one of ${allow}.`, {
    headers: { Allow: allow },
  });
}

/** One handler after the other, as long as they return true. */
async function run(job: Job, chain: Chain, method: ChainMethod): Promise<void> {
  const { ctx } = job;
  for (const { handler } of chain) {
    const work = workOf(handler, method);
    if (work === undefined) {
      const allow = allowedBy(chain.map((one) => one.handler));
      ctx.set('Allow', allow.sort().join(', '));
      ctx.status = 204;
      return;
    }
    const goesOn = await work(job);
    if (goesOn !== true || ctx.respond === false || ctx.res.writableEnded) return;
  }
}
