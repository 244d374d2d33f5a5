/** What surrounds every request: its id, its log line, its time limit, and the conversion of thrown errors. */
import { randomUUID } from 'node:crypto';
import type { Context, Middleware } from 'koa';
import { ApiError, toApiError } from '../../model/error.js';
import type { Span, Tracer } from '../../model/trace.js';
import type { PipelineState } from './context.js';
import { RequestLifetime } from './request-lifetime.js';
import { writeError } from './error-response.js';
import type { PageWriter } from './page-writer.js';
import { waitOf } from './prefer.js';
import { refusalOf } from './client-error.js';
import { causeOf, clientClosed, givenRequestId, logRequest, type RequestListeners } from './access-log.js';
import { endOfTick } from './end-of-tick.js';

export interface RequestOptions extends RequestListeners {
  publicUrl: () => string;
  /** Undefined: no error is shown as a page. */
  page?: PageWriter | undefined;
  tracer: Tracer;
  /** Milliseconds. */
  timeout: number;
  /** True from the beginning of the shutdown: connections should close. */
  draining: () => boolean;
}

/** Maximum length of a request target in bytes; the HTTP parser's own limit is on all headers together. */
const targetLimit = 8192;

/** If Node has already sent 100. */
const continuePattern = /(?:^|\W)100-continue(?:$|\W)/i;

/** Gives the request an id (the client's, if it is well formed), a lifetime, a span and one log line. */
export function requestScope(options: RequestOptions): Middleware {
  return async (ctx, next) => {
    const started = performance.now();
    // koa's own getters (ctx.headers, ctx.get) cost more than direct access.
    const { headers, method = 'GET' } = ctx.req;
    const requestId = givenRequestId(headers['x-request-id']) ?? randomUUID();
    const { traceparent } = headers;
    const parent = typeof traceparent === 'string' ? traceparent : undefined;
    const span = options.tracer.start(method, 'server', parent);
    const lifetime = new RequestLifetime();
    lifetime.limit(options.timeout, tooLate);
    const state = ctx.state as PipelineState;
    state.requestId = requestId;
    state.lifetime = lifetime;
    state.wait = waitOf(headers['prefer']);
    state.traceparent = span.traceparent;
    // koa's set() does the same after several checks, which add up over a dozen fields.
    ctx.res.setHeader('X-Request-Id', requestId);
    ctx.res.setHeader('X-Content-Type-Options', 'nosniff');
    ctx.res.on('close', () => {
      lifetime.release();
      if (!ctx.res.writableFinished)
        lifetime.abort(new ApiError('request_timeout', 'The client disconnected.'));
      report(options, ctx, span, (performance.now() - started) / 1000);
    });
    // Of the tick in which the request began: a response that takes longer is sent as soon as it is ready.
    const tick = endOfTick();
    await next();
    await tick;
    // Checked at the end: the shutdown may have begun during the request.
    if (options.draining()) ctx.set('Connection', 'close');
  };
}

function tooLate(): ApiError {
  return new ApiError('deadline_exceeded', 'The request took too long and was aborted.', {
    headers: { 'Retry-After': '2' },
  });
}

/** The log line, the observation and the span of a finished request. */
function report(options: RequestOptions, ctx: Context, span: Span, seconds: number): void {
  const { method = 'GET', url } = ctx.req;
  const { requestId, routePattern: route, user, reason, cause } = ctx.state as PipelineState;
  const whole = ctx.res.writableFinished;
  const status = whole ? ctx.status : unfinishedStatus(ctx);
  const refusal = whole ? undefined : refusalOf(ctx.res);
  logRequest(
    options,
    { method, route, status, seconds },
    {
      requestId,
      target: url,
      user,
      bytes: status === clientClosed ? 0 : ctx.response.length,
      traceId: span.traceId,
      code: refusal?.code ?? codeOf(ctx, status),
      reason,
      cause: cause ?? refusal?.cause,
    },
  );
  span.end({
    // The name according to OpenTelemetry: few names, one per route.
    name: route === undefined ? method : `${method} ${route}`,
    failed: status >= 500,
    attributes: {
      'http.request.method': method,
      'http.route': route ?? '',
      'http.response.status_code': status,
    },
  });
}

/** The error code of the response, wherever it was created. */
function codeOf({ res }: Context, status: number): string | undefined {
  const code = status < 400 || status === clientClosed ? undefined : res.getHeader('X-Error-Code');
  return typeof code === 'string' ? code : undefined;
}

/** koa presets 404, which was never sent if the client disconnected before the response. */
function unfinishedStatus(ctx: Context): number {
  return refusalOf(ctx.res)?.status ?? (ctx.res.headersSent ? ctx.status : clientClosed);
}

/**
 * Refuses request targets that no route could match, before they reach the router, and requests that are not HTTP/1.1.
 */
function checkTarget(ctx: Context): void {
  const { url = '', httpVersion, rawHeaders, headers } = ctx.req;
  if (url.length > targetLimit) {
    throw new ApiError('uri_too_long', `The request target is longer than ${targetLimit} bytes.`);
  }
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    throw new ApiError('invalid_parameter', 'Only HTTP/1.0 and HTTP/1.1 are supported.');
  }
  // RFC 9112 section 3.2.
  const hosts = countOf('host', rawHeaders);
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1')) {
    throw new ApiError('invalid_parameter', 'A request must have exactly one Host header.');
  }
  // Node would take the first one, and a proxy perhaps the last.
  if (headers.authorization !== undefined && countOf('authorization', rawHeaders) > 1)
    throw new ApiError('invalid_parameter', 'Send Authorization once.');
  // RFC 9110 section 10.1.1. Whether the body still follows is unknown, so the connection cannot be reused.
  if (headers.expect !== undefined && httpVersion === '1.1' && !continuePattern.test(headers.expect)) {
    throw new ApiError('expectation_failed', 'Only "Expect: 100-continue" is supported.', {
      headers: { Connection: 'close' },
    });
  }
  // An absolute target (RFC 9112 section 3.2.2) is parsed as a URL, which may fail; a path never fails.
  if (!url.startsWith('/') && url !== '*' && !URL.canParse(url)) {
    throw new ApiError('invalid_parameter', 'The request target is neither a path nor a URL.');
  }
}

function countOf(field: string, rawHeaders: readonly string[]): number {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name?.length === field.length && name.toLowerCase() === field) count += 1;
  }
  return count;
}

/** Turns thrown errors into responses, and logs what the response does not contain. */
export function errorBoundary({ log, publicUrl, page }: RequestOptions): Middleware {
  const answer = (ctx: Context, thrown: unknown) => {
    const error = toApiError(thrown);
    const state = ctx.state as PipelineState;
    const { requestId } = state;
    if (error.status >= 500) log.error({ err: thrown, requestId }, 'request failed');
    else state.cause = causeOf(error);
    state.reason = error.reason;
    writeError(ctx, error, requestId, publicUrl(), page);
  };
  return async (ctx, next) => {
    try {
      checkTarget(ctx);
      await next();
    } catch (thrown) {
      try {
        answer(ctx, thrown);
      } catch (failure) {
        // The error itself is invalid.
        answer(ctx, new AggregateError([thrown, failure], 'cannot build the response to an error'));
      }
    }
  };
}
