/** The OpenAPI 3.1 document, from the declarations that validate. A schema with a title becomes a component. */
import type { TSchema } from 'typebox';
import type { ErrorCode } from '../../model/error.js';
import { errorCodes } from '../../model/error.js';
import type { Declaration, ResponseDeclaration } from './handler.js';
import type { MethodHandler, RouteManager } from './route-manager.js';
import { pathOf, RegistrationError } from './route-manager.js';

type Json = Record<string, unknown>;

export interface DocumentInfo {
  title: string;
  version: string;
  description: string;
  serverUrl: string;
  /** Values of path parameters for the document's examples, by parameter name. */
  examples: Readonly<Record<string, string>>;
}

const headers: Record<string, Json> = {
  'X-Request-Id': {
    description: 'Id of the request: the client’s own, if it sent a well-formed one.',
    schema: { type: 'string' },
  },
  Location: {
    description: 'Address of what was created, or of the task to follow.',
    schema: { type: 'string', format: 'uri' },
  },
  'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer' } },
  Link: { description: 'Pages beside this one (RFC 8288): next, prev, first.', schema: { type: 'string' } },
  ETag: { description: 'Strong entity tag of the representation.', schema: { type: 'string' } },
  Allow: { description: 'Methods that the path has.', schema: { type: 'string' } },
  'WWW-Authenticate': {
    description: 'How to authenticate (RFC 6750, RFC 9728).',
    schema: { type: 'string' },
  },
  'X-Error-Code': {
    description: 'The error’s code, also where there is no body.',
    schema: { type: 'string' },
  },
  'Cache-Control': { description: 'How long the answer may be kept.', schema: { type: 'string' } },
  'Preference-Applied': { description: 'The wait that was granted (RFC 7240).', schema: { type: 'string' } },
  'Idempotency-Replayed': {
    description: '`true` when the answer is that of an earlier request.',
    schema: { type: 'string' },
  },
  'RateLimit-Policy': {
    description: 'Requests (q) in a window of w seconds.',
    schema: { type: 'string', examples: ['"default";q=6000;w=60'] },
  },
  RateLimit: {
    description: 'Requests that remain (r), and seconds until all are back (t).',
    schema: { type: 'string', examples: ['"default";r=5999;t=1'] },
  },
  Deprecation: { description: 'Since when the route is deprecated (RFC 9745).', schema: { type: 'string' } },
  Sunset: { description: 'When the route stops to answer (RFC 8594).', schema: { type: 'string' } },
};

/** Request headers that the pipeline itself understands, as components. */
const requestHeaders: Record<string, Json> = {
  RequestId: {
    name: 'X-Request-Id',
    in: 'header',
    description: 'An id of your own for the request, to find it in the log.',
    schema: { type: 'string', pattern: '^[A-Za-z0-9._~-]{1,128}$' },
  },
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    description:
      'Makes a repeat safe: the same key with the same request gets the same answer, for 24 hours.',
    schema: {
      type: 'string',
      minLength: 1,
      maxLength: 257,
      examples: ['"8e03978e-40d5-43dd-bc93-6894a57f9324"'],
    },
  },
  IfMatch: {
    name: 'If-Match',
    in: 'header',
    description: 'Change only if the resource still has one of these entity tags; else 412.',
    schema: { type: 'string' },
  },
  IfNoneMatch: {
    name: 'If-None-Match',
    in: 'header',
    description: 'Answer 304 if the representation still has one of these entity tags.',
    schema: { type: 'string' },
  },
  Prefer: {
    name: 'Prefer',
    in: 'header',
    description: '`wait=N`: wait up to N seconds (at most 60) for the end of the work.',
    schema: { type: 'string', examples: ['wait=10'] },
  },
};

const errorSchema: Json = {
  title: 'Error',
  type: 'object',
  required: ['code', 'message', 'requestId', 'retryable'],
  properties: {
    code: { type: 'string', enum: Object.keys(errorCodes), description: 'Stable; act on this.' },
    message: { type: 'string', description: 'For people; may change.' },
    requestId: { type: 'string' },
    retryable: { type: 'boolean' },
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
    blockedBy: { type: 'string', format: 'uri', description: 'Address of the task in the way.' },
  },
  additionalProperties: false,
};

/** RFC 9457, with our members beside the standard ones. */
const problemSchema: Json = {
  title: 'Problem',
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code', 'requestId', 'retryable'],
  properties: {
    type: { type: 'string', format: 'uri' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', enum: Object.keys(errorCodes) },
    requestId: { type: 'string' },
    retryable: { type: 'boolean' },
    errors: { type: 'array', items: { type: 'object' } },
    blockedBy: { type: 'string', format: 'uri' },
  },
};

/** Collects titled schemas and replaces them by references. */
class Components {
  readonly schemas: Record<string, Json> = { Error: errorSchema, Problem: problemSchema };
  readonly #examples: Readonly<Record<string, string>>;

  constructor(examples: Readonly<Record<string, string>>) {
    this.#examples = examples;
  }

  /** The example of a path parameter, as a member of its parameter object. */
  example(name: string): Json {
    const value = this.#examples[name];
    return value === undefined ? {} : { example: value };
  }

  reference(schema: unknown): unknown {
    if (Array.isArray(schema)) return schema.map((item) => this.reference(item));
    if (typeof schema !== 'object' || schema === null) return schema;
    const { title } = schema as { title?: unknown };
    const copy = Object.fromEntries(
      Object.entries(schema).map(([key, value]) => [key, this.reference(value)]),
    );
    if (typeof title !== 'string') return copy;
    const known = this.schemas[title];
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(copy)) {
      throw new Error(`Two different schemas have the title "${title}"`);
    }
    this.schemas[title] = copy;
    return { $ref: `#/components/schemas/${title}` };
  }
}

/** Errors that follow from the declaration itself. */
function impliedErrors<C>(manager: RouteManager<C>, method: MethodHandler<C>): ErrorCode[] {
  const { declaration } = method.requestHandler;
  const codes: ErrorCode[] = [
    'invalid_parameter',
    'invalid_body',
    'request_timeout',
    'expectation_failed',
    'headers_too_large',
    'uri_too_long',
    'internal',
    'deadline_exceeded',
    'unavailable',
  ];
  if (method.authenticator.needsUser) codes.push('unauthorized', 'rate_limited');
  if (declaration.params !== undefined || method.authenticator.name === 'SuperUser') codes.push('not_found');
  if (method.authenticator.name === 'ProjectAdmin') codes.push('forbidden');
  if (declaration.body !== undefined) {
    codes.push('malformed_json', 'too_large', 'unsupported_media_type', 'request_timeout');
  }
  if (declaration.query?.properties['key'] !== undefined) codes.push('invalid_cursor');
  if (method.methodType === 'POST') codes.push('idempotency_in_progress', 'idempotency_mismatch');
  if (hasTag(declaration)) codes.push('precondition_failed');
  if (manager.deprecation?.sunset !== undefined) codes.push('gone');
  return codes;
}

/** Whether reads are conditional: some successful answer has an entity tag. */
function hasTag(declaration: Declaration): boolean {
  return Object.values(declaration.responses).some((response) => response.headers?.includes('ETag') === true);
}

/** The pipeline's own request headers that count on the operation. */
function headerParameters<C>(method: MethodHandler<C>): Json[] {
  const { declaration } = method.requestHandler;
  const names = ['RequestId'];
  if (method.methodType === 'POST') names.push('IdempotencyKey');
  if (declaration.waits === true) names.push('Prefer');
  if (method.methodType === 'GET' && hasTag(declaration)) names.push('IfNoneMatch');
  if (declaration.errors?.includes('precondition_failed') === true) names.push('IfMatch');
  return names.map((name) => ({ $ref: `#/components/parameters/${name}` }));
}

function errorResponses(codes: readonly ErrorCode[]): Record<string, Json> {
  const responses: Record<string, Json> = {};
  for (const status of [...new Set(codes.map((code) => errorCodes[code].status))].sort()) {
    const here = [...new Set(codes)].filter((code) => errorCodes[code].status === status);
    const schema = { $ref: '#/components/schemas/Error' };
    responses[String(status)] = {
      description: here.map((code) => `\`${code}\`: ${errorCodes[code].meaning}`).join('\n\n'),
      headers: pickHeaders([
        'X-Request-Id',
        'X-Error-Code',
        ...(status === 401 ? ['WWW-Authenticate'] : []),
        ...(status === 503 || status === 409 || status === 429 ? ['Retry-After'] : []),
        ...(status === 429 ? ['RateLimit-Policy', 'RateLimit'] : []),
        ...(status === 410 ? ['Deprecation', 'Sunset', 'Link'] : []),
      ]),
      content: {
        'application/json': { schema },
        'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
      },
    };
  }
  return responses;
}

function pickHeaders(names: readonly string[]): Json {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

function successResponse(
  response: ResponseDeclaration,
  components: Components,
  extra: readonly string[],
): Json {
  const mediaType = response.mediaType ?? 'application/json';
  const hasBody = response.schema !== undefined || response.mediaType !== undefined;
  return {
    description: response.description,
    headers: pickHeaders(['X-Request-Id', 'Cache-Control', ...extra, ...(response.headers ?? [])]),
    ...(hasBody
      ? {
          content: {
            [mediaType]: { schema: components.reference(response.schema ?? { type: 'string' }) },
            ...(response.stream === undefined ? {} : { [response.stream]: { schema: { type: 'string' } } }),
          },
        }
      : {}),
  };
}

const notModified: Json = {
  description: 'The client has the representation already.',
  headers: pickHeaders(['X-Request-Id', 'ETag']),
};

function parameters(declaration: Declaration, components: Components): Json[] {
  const list: Json[] = [];
  for (const [place, schema] of [
    ['path', declaration.params],
    ['query', declaration.query],
  ] as const) {
    const required = new Set(schema?.required);
    for (const [name, property] of Object.entries(
      (schema?.properties ?? {}) as Record<string, TSchema & Json>,
    )) {
      const { description, ...rest } = property;
      list.push({
        name,
        in: place,
        required: place === 'path' || required.has(name),
        ...(place === 'path' ? components.example(name) : {}),
        ...(typeof description === 'string' ? { description } : {}),
        schema: components.reference(rest),
      });
    }
  }
  return list;
}

function operation<C>(manager: RouteManager<C>, method: MethodHandler<C>, components: Components): Json {
  const { declaration } = method.requestHandler;
  const extra = [
    ...(method.authenticator.needsUser ? ['RateLimit-Policy', 'RateLimit'] : []),
    ...(method.methodType === 'POST' ? ['Idempotency-Replayed'] : []),
    ...(manager.deprecation === undefined ? [] : ['Deprecation', 'Sunset', 'Link']),
  ];
  const success = Object.entries(declaration.responses).map(
    ([status, response]) => [status, successResponse(response, components, extra)] as const,
  );
  return {
    operationId: declaration.operationId,
    summary: declaration.summary,
    ...(declaration.description === undefined ? {} : { description: declaration.description }),
    tags: declaration.tags,
    parameters: [...parameters(declaration, components), ...headerParameters(method)],
    ...(manager.deprecation === undefined ? {} : { deprecated: true }),
    ...(declaration.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: {
              'application/json': {
                schema: components.reference(declaration.body),
                ...(declaration.example === undefined ? {} : { example: declaration.example }),
              },
            },
          },
        }),
    responses: {
      ...errorResponses([...impliedErrors(manager, method), ...(declaration.errors ?? [])]),
      ...(method.methodType === 'GET' && hasTag(declaration) ? { 304: notModified } : {}),
      ...Object.fromEntries(success),
    },
    security: method.authenticator.needsUser ? [{ bearer: [] }, { apiUser: [], apiKey: [] }] : [],
  };
}

/** A schema's fault, with the route that has it. */
function inRoute<R>(where: string, render: () => R): R {
  try {
    return render();
  } catch (cause) {
    throw new RegistrationError(`${where}: ${(cause as Error).message}`, { cause });
  }
}

/** Renders the routes. Throws when two different schemas share a title or an operation id is used twice. */
export function openApiDocument<C>(managers: readonly RouteManager<C>[], info: DocumentInfo): Json {
  const components = new Components(info.examples);
  const paths: Record<string, Json> = {};
  const ids = new Set<string>();
  for (const manager of managers) {
    const path: Json = (paths[pathOf(manager)] ??= {});
    for (const method of manager.methods) {
      const { operationId } = method.requestHandler.declaration;
      const where = `${method.methodType} ${pathOf(manager)}`;
      if (ids.has(operationId)) {
        throw new RegistrationError(`${where}: the operation id "${operationId}" is taken`);
      }
      ids.add(operationId);
      path[method.methodType.toLowerCase()] = inRoute(where, () => operation(manager, method, components));
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: info.title,
      version: info.version,
      description: info.description,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: info.serverUrl }],
    paths,
    components: {
      schemas: components.schemas,
      headers,
      parameters: requestHeaders,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'The API key as a bearer token.' },
        apiUser: {
          type: 'apiKey',
          in: 'header',
          name: 'Api-User',
          description: 'User name, together with Api-Key.',
        },
        apiKey: { type: 'apiKey', in: 'header', name: 'Api-Key' },
      },
    },
  };
}
