/** The worker's side of a site: serves the reads of API processes from the regions that this process drives. */
import { timingSafeEqual } from 'node:crypto';
import Koa from 'koa';
import type { Config } from '../config.js';
import { HttpServer } from '../http/server.js';
import { notFound } from '../model/error.js';
import type { Log } from '../model/log.js';
import { passingTracer } from '../model/trace.js';
import { unauthorized } from '../route/pipeline/authenticator.js';
import { bodyReader } from '../route/pipeline/body.js';
import type { User } from '../route/pipeline/context.js';
import { CursorCodec } from '../route/pipeline/cursor.js';
import { errorBoundary, type RequestOptions, requestScope } from '../route/pipeline/middleware.js';
import { RateLimit } from '../route/pipeline/rate-limit.js';
import { CachingRouter } from '../route/pipeline/caching-router.js';
import { register } from '../route/pipeline/route-manager.js';
import { type PipelineEnvironment, serve } from '../route/pipeline/serve.js';
import { type DrivenRegions, workerRoutes, type WorkerRoutesOptions } from './worker-routes.js';

/** Maximum size of a call's arguments in bytes: a few thousand ids. */
const bodyLimit = 2 ** 18;

/** Seconds that calls in progress get when the worker stops; then their connections are closed. */
const drainLimit = 1;

export interface WorkerServerOptions extends WorkerRoutesOptions {
  /** Where it listens, and its limits against slow and broken clients. */
  server: Config['server'];
  /** The secret that workers and API processes of one site share. */
  secret: Buffer;
  regions: DrivenRegions;
  log: Log;
}

export class WorkerServer {
  readonly #server: HttpServer;
  #url = '';

  constructor(options: WorkerServerOptions) {
    const { server, log } = options;
    const listeners = { log: quietly(log), observe: () => undefined };
    const koa = new Koa();
    koa.on('error', (error: unknown) => log.warn({ err: error }, 'a response could not be sent completely'));
    const scope: RequestOptions = {
      ...listeners,
      publicUrl: () => this.#url,
      // Each call to a region has a span of its own.
      tracer: passingTracer,
      timeout: server.requestTimeout * 1000,
      // API processes call rarely: an idle connection would only be one that may break.
      draining: () => true,
    };
    const router = new CachingRouter({ strict: true, sensitive: true });
    const answering = serve(environmentOf(options, scope.publicUrl));
    for (const route of workerRoutes(options)) register(router, route, answering);
    koa.use(requestScope(scope)).use(errorBoundary(scope)).use(router.routes());
    koa.use(() => {
      throw notFound();
    });
    const handle = koa.callback();
    this.#server = new HttpServer(
      (request, response) => void handle(request, response),
      { ...server, drainDelay: 0, drainLimit },
      listeners,
    );
  }

  /** Resolves with the URL. Rejects when the address is taken or not ours. */
  async listen(): Promise<string> {
    this.#url = await this.#server.listen();
    return this.#url;
  }

  close(): Promise<void> {
    return this.#server.close();
  }
}

function environmentOf(
  { secret, regions }: WorkerServerOptions,
  publicUrl: () => string,
): PipelineEnvironment<DrivenRegions> {
  const read = bodyReader(bodyLimit, 'array');
  return {
    connector: regions,
    cursors: new CursorCodec(secret),
    publicUrl,
    identify: ({ headers }) => siteProcess(secret, headers.authorization),
    readBody: async (ctx) => ({ args: await read(ctx) }),
    rateLimit: new RateLimit({ requests: 0, window: 1 }),
  };
}

/** All processes of the site are one user here: the holder of the store's secret. */
function siteProcess(secret: Buffer, authorization: string | undefined): User | undefined {
  if (authorization === undefined) return undefined;
  const expected = Buffer.from(`Bearer ${secret.toString('base64url')}`);
  const given = Buffer.from(authorization);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw unauthorized(true);
  return { id: 'site', name: 'site', superUser: false };
}

/** Processes of a site call each other every few seconds: only failures are worth a line. */
function quietly(log: Log): Log {
  return {
    debug: (details, message) => log.debug(details, message),
    info: (details, message) => log.debug(details, message),
    warn: (details, message) => log.warn(details, message),
    error: (details, message) => log.error(details, message),
    child: (bindings) => quietly(log.child(bindings)),
  };
}
