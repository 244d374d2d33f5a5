/**
 * The OpenAPI 3.1 document, from the same declarations as the validation. A schema with a title becomes a component.
 */
import type { TSchema } from 'typebox';
import { aliasesOf } from './aliases.js';
import { bodyOptionsOf, typesOfBody } from './body.js';
import { contentTypes } from './content.js';
import type { Declaration, ResponseDeclaration } from './handler.js';
import {
  errorExamples,
  errorResponses,
  errorSchema,
  impliedErrors,
  otherwise,
  problemSchema,
} from './openapi-errors.js';
import { Examples } from './openapi-example.js';
import {
  callerHeaders,
  pageFields,
  hasTag,
  headerParameters,
  headers,
  pickHeaders,
  requestHeaders,
  routeHeaders,
} from './openapi-headers.js';
import { representations } from './representation.js';
import {
  isRepeatable,
  type MethodHandler,
  pathOf,
  RegistrationError,
  type RouteManager,
} from './route-manager.js';

type Json = Record<string, unknown>;

export interface DocumentInfo {
  title: string;
  version: string;
  description: string;
  serverUrl: string;
  /** Values of path parameters for the document's examples, by parameter name. */
  examples: Readonly<Record<string, string>>;
}

/** A choice of words as an enum: some generators of clients fail on the first constant that differs. */
function wordsOf({ anyOf, ...schema }: Json): Json {
  if (anyOf === undefined) return schema;
  const choices = anyOf as Json[];
  const isWord = ({ const: word, type }: Json) => typeof word === 'string' && type === 'string';
  if (!Array.isArray(anyOf) || !choices.every(isWord)) return { anyOf, ...schema };
  return { ...schema, type: 'string', enum: choices.map((choice) => choice['const']) };
}

/** Collects titled schemas and replaces them by references. */
class Components {
  readonly schemas: Record<string, Json> = { Error: errorSchema, Problem: problemSchema };
  readonly #examples: Examples;

  constructor(examples: Readonly<Record<string, string>>) {
    this.#examples = new Examples(examples);
  }

  /** An example of the schema, as a member of its object. */
  example(schema: unknown, name?: string): Json {
    const value = this.#examples.of(schema as Json, name);
    return value === undefined ? {} : { example: value };
  }

  reference(schema: unknown): unknown {
    if (Array.isArray(schema)) return schema.map((item) => this.reference(item));
    if (typeof schema !== 'object' || schema === null) return schema;
    const { title } = schema as { title?: unknown };
    const copy = wordsOf(
      Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, this.reference(value)])),
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

function successResponse(
  response: ResponseDeclaration,
  components: Components,
  extra: readonly string[],
): Json {
  const { schema, stream } = response;
  const mediaType = response.mediaType ?? json;
  const hasBody = schema !== undefined || response.mediaType !== undefined;
  const names = [
    ...commonHeaders,
    ...extra,
    ...(response.headers ?? []),
    ...(stream === undefined ? [] : ['X-Accel-Buffering']),
    ...(hasBody && mediaType === json ? pageFields : []),
  ];
  return {
    description: response.description,
    headers: pickHeaders([...new Set(names)]),
    ...(hasBody
      ? {
          content: {
            [mediaType]: {
              schema: components.reference(schema ?? { type: 'string' }),
              ...(schema === undefined ? {} : components.example(schema)),
            },
            ...(mediaType === json ? alternatives(components.reference(schema)) : {}),
            ...(stream === undefined ? {} : { [stream]: { schema: { type: 'string' } } }),
          },
        }
      : {}),
  };
}

const json = 'application/json';

/** The same content in the other representations. */
function alternatives(schema: unknown): Json {
  const others = representations.filter(({ mediaType }) => mediaType !== json);
  return {
    ...Object.fromEntries(others.map(({ mediaType }) => [mediaType, { schema }])),
    'text/html': { schema: { type: 'string' } },
  };
}

const commonHeaders = ['X-Request-Id', 'X-Content-Type-Options', 'Cache-Control'];

/** A 304 has the header fields of the corresponding 200. */
function notModified(success: Json | undefined): Json {
  return { description: 'The client already has this representation.', headers: success?.['headers'] };
}

/** One status with two formats: a health report, or an error instead. */
function either(error: Json, success: Json): Json {
  const content = (response: Json) =>
    (response['content'] ?? {}) as Record<string, Json & { schema: unknown }>;
  const merged = Object.entries(content(success)).flatMap(([mediaType, form]) => {
    const other = content(error)[mediaType];
    return other === undefined
      ? []
      : [[mediaType, { ...form, schema: { anyOf: [form.schema, other.schema] } }]];
  });
  return {
    description: `${String(success['description'])}\n\n${String(error['description'])}`,
    headers: { ...(error['headers'] as Json), ...(success['headers'] as Json) },
    content: {
      ...content(error),
      ...content(success),
      ...(Object.fromEntries(merged) as Json),
    },
  };
}

function parameters(declaration: Declaration, components: Components): Json[] {
  const list: Json[] = [];
  for (const [place, schema] of [
    ['path', declaration.params],
    ['query', declaration.query],
    ['header', declaration.headers],
  ] as const) {
    const required = new Set(schema?.required);
    for (const [name, property] of Object.entries(
      (schema?.properties ?? {}) as Record<string, TSchema & Json>,
    )) {
      const { description: meaning, ...rest } = property;
      const aliases = place === 'query' ? aliasesOf(name) : [];
      const description = [
        ...(typeof meaning === 'string' ? [meaning] : []),
        ...(aliases.length === 0
          ? []
          : [`Also accepted as ${aliases.map((one) => `\`${one}\``).join(' or ')}.`]),
      ].join(' ');
      list.push({
        name,
        in: place,
        required: place === 'path' || required.has(name),
        ...components.example(property, name),
        ...(description === '' ? {} : { description }),
        ...(aliases.length === 0 ? {} : { 'x-aliases': aliases }),
        schema: components.reference(rest),
      });
    }
  }
  return list;
}

function responsesOf<C>(manager: RouteManager<C>, method: MethodHandler<C>, components: Components) {
  const { declaration } = method.requestHandler;
  const [route, caller] = [routeHeaders(manager), callerHeaders(method)];
  const extra = [
    ...route,
    ...caller,
    ...(isRepeatable(method) ? ['Idempotency-Replayed'] : []),
    ...(declaration.waits === true ? ['Preference-Applied'] : []),
  ];
  const errors = errorResponses([...impliedErrors(manager, method), ...(declaration.errors ?? [])], {
    route,
    caller,
    repeatable: isRepeatable(method),
    patches: method.methodType === 'PATCH',
  });
  const counted = declaration.counts === true ? ['Preference-Applied', 'X-Total-Count'] : [];
  const success = Object.fromEntries(
    Object.entries(declaration.responses).map(([status, response]) => {
      const rendered = successResponse(response, components, [...extra, ...counted]);
      const error = errors[status];
      return [status, error === undefined ? rendered : either(error, rendered)];
    }),
  );
  return {
    ...errors,
    ...(method.methodType === 'GET' && hasTag(declaration) ? { 304: notModified(success['200']) } : {}),
    ...success,
  };
}

/** A body that is passed on as it arrives. */
const contentBody = {
  required: true,
  content: Object.fromEntries(
    contentTypes.map((mediaType) => [mediaType, { schema: { type: 'string', format: 'binary' } }]),
  ),
};

function operation<C>(manager: RouteManager<C>, method: MethodHandler<C>, components: Components): Json {
  const { declaration } = method.requestHandler;
  return {
    operationId: declaration.operationId,
    summary: declaration.summary,
    ...(declaration.description === undefined ? {} : { description: declaration.description }),
    tags: declaration.tags,
    parameters: [...parameters(declaration, components), ...headerParameters(method)],
    ...(manager.deprecation === undefined ? {} : { deprecated: true }),
    ...(declaration.content === true ? { requestBody: contentBody } : {}),
    ...(declaration.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: Object.fromEntries(
              typesOfBody(method.methodType, bodyOptionsOf(declaration)).map((mediaType) => [
                mediaType,
                {
                  schema: components.reference(declaration.body),
                  ...(declaration.example === undefined || !mediaType.endsWith('json')
                    ? {}
                    : { example: declaration.example }),
                },
              ]),
            ),
          },
        }),
    responses: responsesOf(manager, method, components),
    security: method.authenticator.needsUser ? schemesOf(declaration) : [],
  };
}

/** The ways to authenticate; each is enough. */
function schemesOf({ session }: Declaration): Json[] {
  if (session === 'ends') return [{ session: [] }];
  return [
    { bearer: [] },
    { apiUser: [], apiKey: [] },
    session === 'begins' ? { basic: [] } : { session: [] },
  ];
}

/** An invalid schema, with its route. */
function inRoute<R>(where: string, render: () => R): R {
  try {
    return render();
  } catch (cause) {
    throw new RegistrationError(`${where}: ${(cause as Error).message}`, { cause });
  }
}

/** Renders the routes. Throws if two different schemas share a title. */
export function openApiDocument<C>(managers: readonly RouteManager<C>[], info: DocumentInfo): Json {
  const components = new Components(info.examples);
  const paths: Record<string, Json> = {};
  for (const manager of managers) {
    const path: Json = (paths[pathOf(manager)] ??= {});
    for (const method of manager.methods) {
      const where = `${method.methodType} ${pathOf(manager)}`;
      path[method.methodType.toLowerCase()] = inRoute(where, () => operation(manager, method, components));
    }
  }
  const { responses, statement } = otherwise();
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
    'x-otherwise': statement,
    components: {
      schemas: components.schemas,
      headers,
      responses,
      examples: errorExamples(info.serverUrl),
      parameters: requestHeaders,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key, or a token of an issuer.' },
        apiUser: {
          type: 'apiKey',
          in: 'header',
          name: 'Api-User',
          description: 'User name, together with Api-Key.',
        },
        apiKey: { type: 'apiKey', in: 'header', name: 'Api-Key' },
        basic: { type: 'http', scheme: 'basic', description: 'User name and API key.' },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: info.serverUrl.startsWith('https:') ? '__Host-copse_session' : 'copse_session',
          description: 'The cookie of a session, from `POST /api/v2/signin`.',
        },
      },
    },
  };
}
