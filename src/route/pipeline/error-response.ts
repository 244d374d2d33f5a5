/** The one writer of errors, for those of handlers, of the router and of Node's parser alike. */
import type { Context } from 'koa';
import type { ApiError } from '../../model/error.js';
import type { Answer } from './response.js';

export interface ErrorBody {
  code: string;
  message: string;
  requestId: string;
  retryable: boolean;
  errors?: { pointer?: string; parameter?: string; message: string }[];
  blockedBy?: string;
}

export function errorBody(error: ApiError, requestId: string, publicUrl: string): ErrorBody {
  return {
    code: error.code,
    message: error.publicMessage,
    requestId,
    retryable: error.retryable,
    ...(error.errors === undefined ? {} : { errors: error.errors }),
    ...(error.blockedBy === undefined ? {} : { blockedBy: publicUrl + error.blockedBy }),
  };
}

/** The same as an RFC 9457 document. */
function problem(error: ApiError, requestId: string, publicUrl: string) {
  const { code, message, ...rest } = errorBody(error, requestId, publicUrl);
  const title = code.charAt(0).toUpperCase() + code.slice(1).replaceAll('_', ' ');
  return {
    type: `${publicUrl}/docs/errors#${code}`,
    title,
    status: error.status,
    detail: message,
    code,
    ...rest,
  };
}

export function errorAnswer(
  error: ApiError,
  requestId: string,
  publicUrl: string,
  asProblem = false,
): Answer {
  const headers: Record<string, string> = {
    'Cache-Control': 'no-store',
    'X-Error-Code': error.code,
    ...error.headers,
    'Content-Type': asProblem ? 'application/problem+json' : 'application/json; charset=utf-8',
  };
  const challenge = headers['WWW-Authenticate'];
  if (challenge !== undefined) {
    // RFC 9728 section 5.1: where a client learns who issues tokens for this server.
    headers['WWW-Authenticate'] =
      `${challenge}, resource_metadata="${publicUrl}/.well-known/oauth-protected-resource"`;
  }
  const body = JSON.stringify((asProblem ? problem : errorBody)(error, requestId, publicUrl));
  return { status: error.status, headers, body };
}

/** Replaces whatever a failed handler had begun. */
export function writeError(ctx: Context, error: ApiError, requestId: string, publicUrl: string): void {
  for (const name of ['Content-Encoding', 'ETag', 'Last-Modified', 'Location', 'Preference-Applied'])
    ctx.remove(name);
  const asProblem =
    ctx.accepts('application/json', 'application/problem+json') === 'application/problem+json';
  const { status, headers, body } = errorAnswer(error, requestId, publicUrl, asProblem);
  ctx.status = status;
  ctx.body = body;
  for (const [name, value] of Object.entries(headers)) ctx.set(name, value);
}
