/** The only writer of errors, whether from handlers, the router or Node's parser. */
import { validateHeaderValue } from 'node:http';
import type { Context } from 'koa';
import type { ApiError } from '../../model/error.js';
import type { Answer } from './response.js';
import { wellKnownUrl } from './well-known-url.js';

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
function problemOf({ code, message, ...rest }: ErrorBody, status: number, publicUrl: string) {
  const title = code.charAt(0).toUpperCase() + code.slice(1).replaceAll('_', ' ');
  return { type: `${publicUrl}/docs/errors#${code}`, title, status, detail: message, code, ...rest };
}

const problemType = 'application/problem+json';

/** Whether the client prefers an RFC 9457 document. */
function prefersProblem(ctx: Context): boolean {
  return ctx.accepts('application/json', problemType) === problemType;
}

/** A refusal stored for repeats, in the form that this client prefers. */
export function storedRefusal(ctx: Context, answer: Answer, publicUrl: string): Answer {
  const { body: text } = answer;
  if (answer.status < 400 || typeof text !== 'string' || !prefersProblem(ctx)) return answer;
  const body = JSON.parse(text) as ErrorBody;
  return {
    ...answer,
    headers: { ...answer.headers, 'Content-Type': problemType },
    body: JSON.stringify(problemOf(body, answer.status, publicUrl)),
  };
}

/** Throws for an error that cannot be sent, such as one with a line break in a header field. */
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
    'Content-Type': asProblem ? problemType : 'application/json; charset=utf-8',
  };
  const challenge = headers['WWW-Authenticate'];
  if (challenge !== undefined) {
    // RFC 9728 section 5.1: where a client learns who issues tokens for this server.
    headers['WWW-Authenticate'] =
      `${challenge}, resource_metadata="${wellKnownUrl(publicUrl, 'oauth-protected-resource')}"`;
  }
  for (const [name, value] of Object.entries(headers)) validateHeaderValue(name, value);
  const body = errorBody(error, requestId, publicUrl);
  const shown = asProblem ? problemOf(body, error.status, publicUrl) : body;
  return { status: error.status, headers, body: JSON.stringify(shown) };
}

/** Headers of a response that was not completed. */
const unfit = ['Content-Encoding', 'ETag', 'Last-Modified', 'Location', 'Preference-Applied', 'Retry-After'];

/** Replaces whatever a failed handler had started. */
export function writeError(ctx: Context, error: ApiError, requestId: string, publicUrl: string): void {
  const { status, headers, body } = errorAnswer(error, requestId, publicUrl, prefersProblem(ctx));
  for (const name of unfit) ctx.remove(name);
  ctx.status = status;
  ctx.body = body;
  for (const [name, value] of Object.entries(headers)) ctx.set(name, value);
}
