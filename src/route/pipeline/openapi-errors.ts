/** Errors in the document, generated from the table of codes: schemas, examples, and the errors of each operation. */
import { type ErrorCode, errorCodes } from '../../model/error.js';
import { errorForms } from './error-response.js';
import { hasTag, pageFields, pickHeaders } from './openapi-headers.js';
import { isRepeatable, type MethodHandler, type RouteManager } from './route-manager.js';

type Json = Record<string, unknown>;

const codes = Object.keys(errorCodes) as ErrorCode[];

/** What follows from the code: `retryable` is as in the table, and tools find the whole table in `x-codes`. */
const code: Json = {
  type: 'string',
  enum: codes,
  description: 'Stable; base decisions on it.',
  'x-codes': errorCodes,
};
const retryable: Json = {
  if: { properties: { code: { enum: codes.filter((one) => errorCodes[one].retryable) } } },
  then: { properties: { retryable: { const: true } } },
  else: { properties: { retryable: { const: false } } },
};

const common: Json = {
  requestId: { type: 'string' },
  retryable: {
    type: 'boolean',
    description: 'Whether the same request may succeed later; follows from the code.',
  },
  errors: {
    type: 'array',
    items: {
      type: 'object',
      required: ['message'],
      properties: {
        pointer: { type: 'string', description: 'JSON pointer (RFC 6901) into the body.' },
        parameter: { type: 'string' },
        message: { type: 'string' },
      },
      additionalProperties: false,
    },
  },
  blockedBy: { type: 'string', format: 'uri', description: 'Address of the task that blocks the request.' },
};

export const errorSchema: Json = {
  title: 'Error',
  type: 'object',
  required: ['code', 'message', 'requestId', 'retryable'],
  properties: { code, message: { type: 'string', description: 'For people; may change.' }, ...common },
  additionalProperties: false,
  ...retryable,
};

/** RFC 9457, with Copse's members in addition to the standard ones. */
export const problemSchema: Json = {
  title: 'Problem',
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code', 'requestId', 'retryable'],
  properties: {
    type: { type: 'string', format: 'uri' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code,
    ...common,
  },
  ...retryable,
};

/** One example per code, in both formats, as components. */
export function errorExamples(publicUrl: string): Record<string, Json> {
  const requestId = '01a1fc40-e4c0-7555-8353-2d75db03d2a7';
  return Object.fromEntries(
    codes.flatMap((one): [string, Json][] => {
      const { status, meaning, retryable: again } = errorCodes[one];
      const title = one.charAt(0).toUpperCase() + one.slice(1).replaceAll('_', ' ');
      const rest = { code: one, requestId, retryable: again };
      const type = `${publicUrl}/docs/errors#${one}`;
      return [
        [one, { summary: meaning, value: { ...rest, message: meaning } }],
        [`problem_${one}`, { summary: meaning, value: { type, title, status, detail: meaning, ...rest } }],
      ];
    }),
  );
}

/** Errors that any request may get, whatever its path: because of its headers, its time limit or the server. */
const anywhere: readonly ErrorCode[] = [
  'invalid_parameter',
  'request_timeout',
  'expectation_failed',
  'headers_too_large',
  'uri_too_long',
  'internal',
  'deadline_exceeded',
  'store_unavailable',
  'unavailable',
];

/** Errors that follow from the declaration itself. */
export function impliedErrors<C>(manager: RouteManager<C>, method: MethodHandler<C>): ErrorCode[] {
  const { declaration } = method.requestHandler;
  const implied: ErrorCode[] = [...anywhere, 'invalid_body'];
  if (method.authenticator.needsUser) implied.push('unauthorized', 'rate_limited');
  // A request with a session's cookie that another site has made a browser send.
  if (method.authenticator.needsUser && method.methodType !== 'GET') implied.push('forbidden');
  if (declaration.params !== undefined || method.authenticator.name === 'SuperUser')
    implied.push('not_found');
  const { right, name } = method.authenticator;
  if (name === 'Owner' || name === 'Unlimited' || (right !== undefined && right !== 'read'))
    implied.push('forbidden');
  if (declaration.body !== undefined) implied.push('malformed_json', 'too_large', 'unsupported_media_type');
  if (declaration.body !== undefined && declaration.signed !== true) implied.push('malformed_body');
  if (declaration.content === true) implied.push('unsupported_media_type');
  if (declaration.query?.properties['key'] !== undefined) implied.push('invalid_cursor');
  if (Object.values(declaration.responses).some(({ schema }) => schema !== undefined))
    implied.push('not_acceptable');
  if (isRepeatable(method)) implied.push('idempotency_in_progress', 'idempotency_mismatch');
  if (hasTag(declaration)) implied.push('precondition_failed');
  if (manager.deprecation?.sunset !== undefined) implied.push('gone');
  return implied;
}

/** Header fields of errors in addition to those of the route and of its caller. */
function headersOf(
  status: number,
  here: readonly ErrorCode[],
  { repeatable, patches }: ErrorHeaders,
): string[] {
  // A lasting refusal is stored for a repeat under the same Idempotency-Key; a temporary one is not.
  const replayed = repeatable === true && here.some((one) => errorCodes[one].lasting);
  return [
    ...(status === 401 ? ['WWW-Authenticate', 'Set-Cookie'] : []),
    ...(status === 405 ? ['Allow'] : []),
    ...(status === 415 ? ['Accept', 'Accept-Encoding', ...(patches === true ? ['Accept-Patch'] : [])] : []),
    ...([409, 429, 503].includes(status) ? ['Retry-After'] : []),
    ...(status === 410 ? ['Link'] : []),
    ...(replayed ? ['Idempotency-Replayed'] : []),
  ];
}

export interface ErrorHeaders {
  /** Sent with each error. */
  route?: readonly string[];
  /** Sent with each once the caller is known. */
  caller?: readonly string[];
  /** Whether the operation honours an Idempotency-Key. */
  repeatable?: boolean;
  /** Whether it is a PATCH. */
  patches?: boolean;
}

export function errorResponses(given: readonly ErrorCode[], of: ErrorHeaders = {}): Record<string, Json> {
  const { route = [], caller = [] } = of;
  const all = [...new Set(given)];
  const responses: Record<string, Json> = {};
  for (const status of [...new Set(all.map((one) => errorCodes[one].status))].sort()) {
    const here = all.filter((one) => errorCodes[one].status === status);
    const names = [
      ...['X-Request-Id', 'X-Content-Type-Options', 'X-Error-Code', 'Cache-Control'],
      ...pageFields,
      ...route,
      ...(status === 401 ? [] : caller),
      ...headersOf(status, here, of),
    ];
    const content = (mediaType: string) => {
      const [shape, prefix] = mediaType.includes('problem') ? ['Problem', 'problem_'] : ['Error', ''];
      const schema = { $ref: `#/components/schemas/${shape}` };
      // An example of a problem in XML or CBOR would be the same value again.
      if (!mediaType.endsWith('json')) return { schema };
      const examples = here.map((one) => [one, { $ref: `#/components/examples/${prefix}${one}` }]);
      return { schema, examples: Object.fromEntries(examples) as Json };
    };
    responses[String(status)] = {
      description: here.map((one) => `\`${one}\`: ${errorCodes[one].meaning}`).join('\n\n'),
      headers: pickHeaders([...new Set(names)]),
      content: {
        ...Object.fromEntries(errorForms.map(({ mediaType }) => [mediaType, content(mediaType)])),
        'text/html': { schema: { type: 'string' } },
      },
    };
  }
  return responses;
}

/** Responses outside any operation: components, and the document's `x-otherwise`, which says when. */
export function otherwise(): { responses: Record<string, Json>; statement: Json } {
  const errors = Object.entries(errorResponses([...anywhere, 'not_found', 'method_not_allowed']));
  const options: Json = {
    description: 'The methods that the path supports.',
    headers: pickHeaders([
      'X-Request-Id',
      'X-Content-Type-Options',
      'Cache-Control',
      'Allow',
      'Accept-Patch',
    ]),
  };
  const refer = (name: string) => ({ $ref: `#/components/responses/${name}` });
  return {
    responses: {
      Options: options,
      ...Object.fromEntries(errors.map(([status, response]) => [`Error${status}`, response])),
    },
    statement: {
      description:
        'OPTIONS on any path returns 204 with `Allow`, and `Accept-Patch` where there is a PATCH. HEAD is handled like GET, without a body. Any other method on a path returns 405 with `Allow`, an unknown path 404.',
      options: { responses: { 204: refer('Options') } },
      others: {
        responses: Object.fromEntries(errors.map(([status]) => [status, refer(`Error${status}`)])),
      },
    },
  };
}
