/** Registers the routes with koa, and adds what surrounds them. Names: Evergreen's AttachHandler and GetHandler. */
import type Router from '@koa/router';
import cors from '@koa/cors';
import type Koa from 'koa';
import { Type } from 'typebox';
import type { Connector } from '../data/connector.js';
import { ApiError } from '../model/error.js';
import type { ChainHost, Multiplexer } from './chain/multiplexer.js';
import { exampleIds } from './example.js';
import { identify } from './identity.js';
import { type RouteOptions, routeTable } from './index.js';
import { bodyReader } from './pipeline/body.js';
import { CursorCodec } from './pipeline/cursor.js';
import { compression } from './pipeline/compression.js';
import { errorBoundary, type RequestOptions, requestScope } from './pipeline/middleware.js';
import { sessionSecrets } from './session-cookie.js';
import { isInRanges } from '../model/public-address.js';
import { FailureLimit, type FailureLimitOptions } from './pipeline/failure-limit.js';
import { openApiDocument } from './pipeline/openapi.js';
import { RateLimit } from './pipeline/rate-limit.js';
import { CachingRouter } from './pipeline/caching-router.js';
import { checkRoutes, checkSchemas } from './pipeline/route-conflicts.js';
import { pathOf, register, RegistrationError } from './pipeline/route-manager.js';
import { ResponseCache } from './pipeline/response-cache.js';
import { admitCaller, answerUnmatched, type PipelineEnvironment, serve } from './pipeline/serve.js';
import { pageWriter } from './page.js';
import { type Route, routesOf } from './route.js';

export interface ApiOptions extends RequestOptions, RouteOptions {
  connector: Connector;
  /** Signs cursors; the same for every process on one store. */
  cursorSecret: Buffer;
  /** Bytes. */
  bodyLimit: number;
  /** Bytes of lists that are cached in memory until something is written; 0: none. */
  responseCache: number;
  /** How often callers may fail to authenticate; undefined: without limit. */
  failures?: FailureLimitOptions;
  /** Addresses, and ranges of them, of the proxies in front of the server. */
  trustedProxies?: readonly string[];
  /** Origins of other sites whose pages may call the API. */
  corsOrigins: readonly string[];
  /** Routes beyond those of the API itself. */
  extraRoutes?: readonly Route[];
  /** Chains of handlers beside the routes. */
  multiplexers?: readonly Multiplexer[];
}

/**
 * Builds the routes and registers them on the router. Throws if a declaration is invalid: RegistrationError, or the
 * reason why the document cannot be rendered.
 */
export function getHandler(router: Router, options: ApiOptions): Router {
  registerRoutes(router, options);
  return router;
}

function registerRoutes(router: Router, options: ApiOptions): PipelineEnvironment<Connector> {
  const { connector, publicUrl } = options;
  let rendered: string | undefined;
  const table = routeTable(options, () => (rendered ??= render()));
  const own = routesOf(table);
  const extra = options.extraRoutes ?? [];
  const routes: Route[] = [...own, ...extra];
  const render = () =>
    JSON.stringify(
      openApiDocument(routes, {
        title: 'Copse',
        version: options.service.version,
        description:
          'A compute API for machines that people own. Ids are named `projectID` in paths and queries and `projectId` in bodies; for every id the spellings `projectID`, `projectId` and `project_id` are equivalent.',
        serverUrl: publicUrl(),
        examples: exampleIds,
      }),
    );
  const { settings } = connector;
  const { trustedProxies: proxies = [] } = options;
  const rateLimit = new RateLimit(settings.present.limits);
  settings.watch(() => rateLimit.change(settings.present.limits));
  const environment: PipelineEnvironment<Connector> = {
    connector,
    cursors: new CursorCodec(options.cursorSecret),
    publicUrl,
    identify: (shown, interruption) => identify(connector, shown, publicUrl, interruption),
    readBody: bodyReader(options.bodyLimit),
    page: pageWriter(routes, publicUrl),
    rateLimit,
    failures:
      options.failures &&
      new FailureLimit({
        ...options.failures,
        trusts: proxies.length === 0 ? undefined : (address) => isInRanges(address, proxies),
        credentialIn: (cookie) => sessionSecrets(cookie, publicUrl()).join(' ') || undefined,
      }),
    idempotency: connector.idempotency,
    cache:
      options.responseCache > 0 ? new ResponseCache(options.responseCache, connector.version) : undefined,
  };
  checkRoutes(routes);
  checkChains(routes, options.multiplexers ?? []);
  // A test has checked the schemas of the table: checking all of them would be a third of the program's start.
  checkSchemas(extra);
  for (const route of routes) register(router, route, serve(environment));
  // A mistake in the table's own part of the document is found by a test too.
  if (extra.length > 0) render();
  return environment;
}

/** Chains must neither hide routes nor be hidden by them or by each other. */
function checkChains(routes: readonly Route[], multiplexers: readonly Multiplexer[]): void {
  for (const [index, mux] of multiplexers.entries()) {
    const { basePath } = mux.environment;
    const others = multiplexers.slice(0, index).map(({ environment }) => environment.basePath);
    const clash = [...routes.map(pathOf), ...others].find(
      (path) => mux.overlaps(path) || multiplexers.slice(0, index).some((one) => one.overlaps(basePath)),
    );
    if (clash !== undefined) throw new RegistrationError(`${clash} is where the chains of ${basePath} are`);
  }
}

const anyBody = Type.Unknown();
const fields = Type.Record(Type.String(), Type.Array(Type.String()));

/** What chains share with the routes. */
function chainHost(environment: PipelineEnvironment<Connector>, { log }: ApiOptions): ChainHost {
  return {
    log,
    admit: (ctx) => admitCaller(environment, ctx),
    readBody: (ctx) => environment.readBody(ctx, { schema: anyBody }),
    readForm: async (ctx) => {
      const form = 'application/x-www-form-urlencoded';
      if (ctx.is(form) === false)
        throw new ApiError('unsupported_media_type', `The body must be ${form}.`, {
          headers: { Accept: form },
        });
      await environment.readBody(ctx, { schema: fields });
      return new URLSearchParams(Buffer.from(ctx.request.rawBody as string, 'latin1').toString());
    },
  };
}

/** Response headers that a page of another site may read. */
const exposedHeaders = [
  ...[
    'ETag',
    'Idempotency-Replayed',
    'Link',
    'Location',
    'Preference-Applied',
    'RateLimit',
    'RateLimit-Policy',
  ],
  ...['Retry-After', 'X-Error-Code', 'X-Request-Id', 'Deprecation', 'Sunset', 'Allow', 'WWW-Authenticate'],
  ...['Accept-Patch', 'X-Total-Count'],
];

const allowedHeaders = [
  ...['Authorization', 'Api-User', 'Api-Key', 'Content-Type', 'Idempotency-Key', 'If-Match', 'If-None-Match'],
  ...['Last-Event-ID', 'Prefer', 'X-Request-Id', 'traceparent', 'tracestate'],
];

/** Allows pages of the configured origins, and only those, by name and never by pattern. */
function crossOrigin(origins: readonly string[]) {
  return cors({
    origin: (ctx) => (origins.includes(ctx.get('Origin')) ? ctx.get('Origin') : ''),
    allowMethods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowHeaders: allowedHeaders,
    exposeHeaders: exposedHeaders,
    maxAge: 86400,
  });
}

/** Adds the whole API to a koa app: what surrounds every request, the routes, and the response if none matches. */
export function attachHandler(app: Koa, options: ApiOptions): void {
  app.on('error', (error: unknown) => {
    options.log.warn({ err: error }, 'a response could not be sent completely');
  });
  const router = new CachingRouter({ strict: true, sensitive: true });
  const environment = registerRoutes(router, options);
  app.use(requestScope(options));
  if (options.corsOrigins.length > 0) app.use(crossOrigin(options.corsOrigins));
  app.use(errorBoundary({ ...options, page: environment.page }));
  app.use(compression());
  app.use(router.routes());
  for (const mux of options.multiplexers ?? []) app.use(mux.middleware(chainHost(environment, options)));
  app.use((ctx) => answerUnmatched(router, ctx));
}
