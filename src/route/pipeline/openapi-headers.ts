/** The header fields of the pipeline itself, as components of the document, and which of them an operation has. */
import type { Declaration } from './handler.js';
import { isRepeatable, type MethodHandler, type RouteManager } from './route-manager.js';

type Json = Record<string, unknown>;

const text = (description: string, example: string): Json => ({
  description,
  schema: { type: 'string' },
  example,
});

/** For responses. Fields of the transport, of CORS and of compression are not included. */
export const headers: Readonly<Record<string, Json>> = {
  'X-Request-Id': text(
    'Id of the request: the client’s own, if it sent a well-formed one.',
    '01a1fc40-e4c0-7555-8353-2d75db03d2a7',
  ),
  'X-Content-Type-Options': text('Tells clients not to guess the media type.', 'nosniff'),
  Location: {
    description: 'Address of what was created, or of the task to follow.',
    schema: { type: 'string', format: 'uri' },
    example: 'https://api.example.com/api/v2/tasks/0193a5c0-0000-7000-8000-000000000007',
  },
  'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer' }, example: 2 },
  Link: text(
    'Other pages (RFC 8288): next, prev, first; also the documentation of a deprecation.',
    '<https://api.example.com/api/v2/instances?limit=100>; rel="first"',
  ),
  ETag: text('Strong entity tag of the representation.', '"3"'),
  Allow: text('Methods that the path supports.', 'GET, HEAD, OPTIONS'),
  Accept: text('Media types that are accepted for the body.', 'application/json'),
  'Accept-Patch': text(
    'Media types that PATCH accepts (RFC 5789).',
    'application/merge-patch+json, application/json',
  ),
  'Accept-Encoding': text('Content codings that are accepted for the body.', 'gzip, deflate, br'),
  'WWW-Authenticate': text(
    'How to authenticate (RFC 6750, RFC 9728).',
    'Bearer realm="copse", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"',
  ),
  'Set-Cookie': text(
    'The session’s cookie, or the end of it.',
    'copse_session=…; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict',
  ),
  'X-Error-Code': text('The error code, even if there is no body.', 'not_found'),
  'Cache-Control': text('How long the response may be cached.', 'no-cache'),
  'Preference-Applied': text('The preference that was granted (RFC 7240).', 'wait=10'),
  'X-Total-Count': {
    description:
      'Number of items on all pages, for `Prefer: count=exact`. Absent, like `Preference-Applied`, if there are more than 10,000.',
    schema: { type: 'integer', minimum: 0 },
    example: 42,
  },
  'Idempotency-Replayed': text('`true` if this is the stored response of an earlier request.', 'true'),
  'RateLimit-Policy': text('Requests (q) in a window of w seconds.', '"default";q=6000;w=60'),
  RateLimit: text(
    'Requests that remain (r), and seconds until all are available again (t).',
    '"default";r=5999;t=1',
  ),
  'Upload-Offset': text('Bytes that have arrived (draft-ietf-httpbis-resumable-upload).', '1048576'),
  'Upload-Complete': text('`?1` once all bytes have arrived.', '?0'),
  Deprecation: text('When the route was deprecated (RFC 9745).', '@1769860800'),
  Sunset: text('When the route stops working (RFC 8594).', 'Sat, 31 Jan 2026 12:00:00 GMT'),
  'Content-Security-Policy': text('Of a page: what it may load and where it may send.', "default-src 'none'"),
  'Referrer-Policy': text('Of a page: `same-origin`.', 'same-origin'),
  'X-Accel-Buffering': text('`no`: a proxy must not buffer the stream.', 'no'),
};

/** Request headers that the pipeline itself understands, as components. */
export const requestHeaders: Readonly<Record<string, Json>> = {
  RequestId: {
    name: 'X-Request-Id',
    in: 'header',
    description: 'An id of your own for the request, to find it in the log.',
    schema: { type: 'string', pattern: '^[A-Za-z0-9._~-]{1,128}$' },
    example: 'my-request-17',
  },
  TraceParent: {
    name: 'traceparent',
    in: 'header',
    description: 'The trace that the request belongs to (W3C Trace Context); a malformed one is ignored.',
    schema: { type: 'string' },
    example: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  },
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    description:
      'Makes a repeat safe: the same key with the same request gets the same response, for 24 hours.',
    schema: { type: 'string', minLength: 1, maxLength: 257 },
    example: '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
  },
  IfMatch: {
    name: 'If-Match',
    in: 'header',
    description:
      'Proceed only if the resource still has one of these entity tags, or any (`*`); otherwise 412. A change also proceeds if only observed members, such as the power state, have changed since that tag.',
    schema: { type: 'string' },
    example: '*',
  },
  IfNoneMatch: {
    name: 'If-None-Match',
    in: 'header',
    description:
      'Proceed only if the resource has none of these entity tags; otherwise 304 for a read, 412 for a change.',
    schema: { type: 'string' },
    example: '"17"',
  },
  Prefer: {
    name: 'Prefer',
    in: 'header',
    description: '`wait=N`: wait up to N seconds (at most 60) for the end of the work.',
    schema: { type: 'string' },
    example: 'wait=10',
  },
  PreferCount: {
    name: 'Prefer',
    in: 'header',
    description: '`count=exact`: say how many items there are on all pages, up to 10,000.',
    schema: { type: 'string' },
    example: 'count=exact',
  },
};

/** Those of a response as a page. */
export const pageFields = ['Content-Security-Policy', 'Referrer-Policy'];

export function pickHeaders(names: readonly string[]): Json {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

/** Whether reads are conditional: a successful response has an entity tag. */
export function hasTag(declaration: Declaration): boolean {
  return Object.values(declaration.responses).some((response) => response.headers?.includes('ETag') === true);
}

/** Those that every response of the operation has once its route is known. */
export function routeHeaders<C>({ deprecation }: RouteManager<C>): string[] {
  if (deprecation === undefined) return [];
  const { sunset, link } = deprecation;
  return [
    'Deprecation',
    ...(sunset === undefined ? [] : ['Sunset']),
    ...(link === undefined ? [] : ['Link']),
  ];
}

/** Those of every response once the caller is known. */
export function callerHeaders<C>({ authenticator }: MethodHandler<C>): string[] {
  return authenticator.needsUser ? ['RateLimit-Policy', 'RateLimit'] : [];
}

/** References to the pipeline's own request headers that apply to the operation. */
export function headerParameters<C>(method: MethodHandler<C>): Json[] {
  const { declaration } = method.requestHandler;
  const names = ['RequestId', 'TraceParent'];
  if (isRepeatable(method)) names.push('IdempotencyKey');
  if (declaration.waits === true) names.push('Prefer');
  if (declaration.counts === true) names.push('PreferCount');
  const conditional =
    declaration.errors?.includes('precondition_failed') === true ||
    (method.methodType === 'GET' && hasTag(declaration));
  if (conditional) names.push('IfMatch', 'IfNoneMatch');
  return names.map((name) => ({ $ref: `#/components/parameters/${name}` }));
}
