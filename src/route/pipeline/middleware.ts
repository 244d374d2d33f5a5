/** What surrounds every request: its id, its log line, its time limit, and the conversion of anything thrown. */
import { randomUUID } from 'node:crypto';
import type { Context, Middleware } from 'koa';
import { ApiError, toApiError } from '../../model/error.js';
import type { Log } from '../../model/log.js';
import type { Tracer } from '../../model/trace.js';
import { Life } from './life.js';
import { writeError } from './error-response.js';
import { waitOf } from './prefer.js';
import type { PipelineState } from './route-manager.js';
import { endOfTurn } from './turn.js';

/** What is known of a request at its end. */
export interface RequestSummary {
  method: string;
  /** The route's pattern; undefined when none matched. */
  route: string | undefined;
  status: number;
  seconds: number;
}

export interface RequestOptions {
  log: Log;
  publicUrl: () => string;
  tracer: Tracer;
  /** Milliseconds. */
  timeout: number;
  /** Told of every request at its end. */
  observe: (summary: RequestSummary) => void;
  /** True from the beginning of the shutdown: connections are to end. */
  draining: () => boolean;
}

const requestIdPattern = /^[A-Za-z0-9._~-]{1,128}$/;

/** Longest request target that is taken, in bytes; the HTTP parser's own limit is on all headers together. */
const targetLimit = 8192;

/** Gives the request an id (the client's, if it is well formed), an abort signal, a span and one log line. */
export function requestScope(options: RequestOptions): Middleware {
  return async (ctx, next) => {
    const started = performance.now();
    // koa's own getters (ctx.headers, ctx.get) cost more than what they get.
    const { headers, method = 'GET' } = ctx.req;
    const given = headers['x-request-id'];
    const requestId = typeof given === 'string' && requestIdPattern.test(given) ? given : randomUUID();
    const { traceparent } = headers;
    const parent = typeof traceparent === 'string' ? traceparent : undefined;
    const span = options.tracer.start(`${method} request`, 'server', parent);
    const wait = waitOf(headers['prefer']);
    const life = new Life();
    life.limit(
      options.timeout + wait * 1000,
      () =>
        new ApiError('deadline_exceeded', 'The request took too long and was given up.', {
          headers: { 'Retry-After': '2' },
        }),
    );
    const state = ctx.state as PipelineState;
    state.requestId = requestId;
    state.life = life;
    state.wait = wait;
    state.traceparent = span.traceparent;
    // koa's set() does the same after several checks of its own, which add up over a dozen fields.
    ctx.res.setHeader('X-Request-Id', requestId);
    ctx.res.setHeader('X-Content-Type-Options', 'nosniff');
    ctx.res.on('close', () => {
      life.release();
      if (!ctx.res.writableFinished) life.abort(new ApiError('request_timeout', 'The client went away.'));
      const seconds = (performance.now() - started) / 1000;
      summarise(ctx, state, seconds, span.traceId, options);
      const attributes = { 'http.route': state.routePattern ?? '', 'http.response.status_code': ctx.status };
      span.end({ failed: ctx.status >= 500, attributes });
    });
    // Of the turn in which the request began: what takes longer is sent as soon as it is there.
    const turn = endOfTurn();
    await next();
    await turn;
    // Asked at the end: the shutdown may have begun while the request ran.
    if (options.draining()) ctx.set('Connection', 'close');
  };
}

function summarise(
  ctx: Context,
  state: PipelineState,
  seconds: number,
  traceId: string | undefined,
  { log, observe }: RequestOptions,
): void {
  const { method, status } = ctx;
  const route = state.routePattern;
  observe({ method, route, status, seconds });
  log.info(
    {
      requestId: state.requestId,
      method,
      route: route ?? null,
      status,
      ms: Math.round(seconds * 10_000) / 10,
      user: state.user ?? null,
      bytes: ctx.response.length,
      ...(traceId === undefined ? {} : { traceId }),
    },
    'request',
  );
}

/** Refuses a request target that no route could match, before the router stumbles over it. */
function checkTarget(ctx: Context): void {
  const { url = '', httpVersion, rawHeaders } = ctx.req;
  if (url.length > targetLimit) {
    throw new ApiError('uri_too_long', `The request target is longer than ${targetLimit} bytes.`);
  }
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    throw new ApiError('invalid_parameter', 'Only HTTP/1.0 and HTTP/1.1 are spoken here.');
  }
  // RFC 9112 section 3.2.
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.length === 4 && rawHeaders[at]?.toLowerCase() === 'host') hosts += 1;
  }
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1')) {
    throw new ApiError('invalid_parameter', 'A request must have one Host header.');
  }
  // An absolute target (RFC 9112 section 3.2.2) is parsed as a URL, which may fail; a path never does.
  if (!url.startsWith('/') && url !== '*' && !URL.canParse(url)) {
    throw new ApiError('invalid_parameter', 'The request target is neither a path nor a URL.');
  }
}

/** Turns whatever is thrown into an answer, and logs what the answer does not say. */
export function errorBoundary({ log, publicUrl }: RequestOptions): Middleware {
  return async (ctx, next) => {
    try {
      checkTarget(ctx);
      await next();
    } catch (thrown) {
      const error = toApiError(thrown);
      const { requestId } = ctx.state as PipelineState;
      if (error.status >= 500) log.error({ err: thrown, requestId }, 'request failed');
      else if (error.cause !== undefined) log.debug({ err: thrown, requestId }, 'request refused');
      writeError(ctx, error, requestId, publicUrl());
    }
  };
}
