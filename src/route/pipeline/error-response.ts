/** The only writer of errors, whether from handlers, the router or Node's parser. */
import { validateHeaderValue } from 'node:http';
import type { Context } from 'koa';
import type { ApiError } from '../../model/error.js';
import { type Offer, preferred } from './accept.js';
import type { PageWriter } from './page-writer.js';
import { headersOfPage, inCbor } from './representation.js';
import { type Answer, json } from './response.js';
import { wellKnownUrl } from './well-known-url.js';
import { xmlOf } from './xml-writer.js';

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

interface ErrorForm extends Offer {
  readonly contentType: string;
  readonly write: (body: ErrorBody, status: number, publicUrl: string) => string | Buffer;
}

const inXml: ErrorForm = {
  mediaType: 'application/xml',
  contentType: 'application/xml; charset=utf-8',
  write: (body) => xmlOf(body, { root: 'error' }),
};

/** The forms of an error, in the order in which they are offered. */
export const errorForms: readonly ErrorForm[] = [
  { mediaType: 'application/json', contentType: json, write: (body) => JSON.stringify(body) },
  {
    mediaType: 'application/problem+json',
    contentType: 'application/problem+json',
    write: (...error) => JSON.stringify(problemOf(...error)),
  },
  inXml,
  {
    mediaType: 'application/problem+xml',
    contentType: 'application/problem+xml; charset=utf-8',
    // RFC 9457, appendix B.
    write: (...error) =>
      xmlOf(problemOf(...error), {
        ...{ root: 'problem', namespace: 'urn:ietf:rfc:7807', item: 'i', typed: false },
      }),
  },
  { mediaType: 'application/cbor', contentType: 'application/cbor', write: (body) => inCbor(body) },
];

const allForms = [...errorForms, { ...inXml, mediaType: 'text/xml' }];

const pageOffer: Offer = { mediaType: 'text/html' };

/**
 * The error, made as JSON, in the form that the client prefers. A client that accepts none gets JSON: an error must
 * reach it in any case.
 */
export function inErrorForm(
  ctx: Context,
  answer: Answer,
  publicUrl: string,
  page: PageWriter | undefined,
): Answer {
  const { accept } = ctx.req.headers;
  if (accept === undefined || accept === '*/*' || typeof answer.body !== 'string') return answer;
  const found = preferred<Offer>(accept, page === undefined ? allForms : [...allForms, pageOffer]);
  if (found === pageOffer && page !== undefined)
    return {
      ...answer,
      headers: { ...answer.headers, ...headersOfPage(page) },
      body: page.write(ctx, answer),
    };
  const form = allForms.find((one) => one === found);
  if (form === undefined || form.contentType === json) return answer;
  const body = form.write(JSON.parse(answer.body) as ErrorBody, answer.status, publicUrl);
  return { ...answer, headers: { ...answer.headers, 'Content-Type': form.contentType }, body };
}

/** A response stored for repeats; a refusal in the form that this client prefers. */
export function storedRefusal(
  ctx: Context,
  answer: Answer,
  publicUrl: string,
  page: PageWriter | undefined,
): Answer {
  return answer.status < 400 ? answer : inErrorForm(ctx, answer, publicUrl, page);
}

/** The error as JSON. Throws for one that cannot be sent, such as one with a line break in a header field. */
export function errorAnswer(error: ApiError, requestId: string, publicUrl: string): Answer {
  const headers: Record<string, string> = {
    'Cache-Control': 'no-store',
    'X-Error-Code': error.code,
    ...error.headers,
    'Content-Type': json,
  };
  const challenge = headers['WWW-Authenticate'];
  if (challenge !== undefined) {
    // RFC 9728 section 5.1: where a client learns who issues tokens for this server.
    headers['WWW-Authenticate'] =
      `${challenge}, resource_metadata="${wellKnownUrl(publicUrl, 'oauth-protected-resource')}"`;
  }
  for (const [name, value] of Object.entries(headers)) validateHeaderValue(name, value);
  return { status: error.status, headers, body: JSON.stringify(errorBody(error, requestId, publicUrl)) };
}

/** Headers of a response that was not completed. */
const unfit = ['Content-Encoding', 'ETag', 'Last-Modified', 'Location', 'Preference-Applied', 'Retry-After'];

/** Replaces whatever a failed handler had started. */
export function writeError(
  ctx: Context,
  error: ApiError,
  requestId: string,
  publicUrl: string,
  page?: PageWriter,
): void {
  const answer = errorAnswer(error, requestId, publicUrl);
  const { status, headers, body } = inErrorForm(ctx, answer, publicUrl, page);
  for (const name of unfit) ctx.remove(name);
  ctx.status = status;
  ctx.body = body;
  for (const [name, value] of Object.entries(headers)) ctx.set(name, value);
  ctx.vary('Accept');
}
