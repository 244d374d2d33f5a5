/**
 * fetch for the tests: every response is checked against /openapi.json, so that no test can pass while the server
 * deviates from its document. Lint forbids the plain one in tests.
 */
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { expect } from 'chai';
import { Client, type ClientOptions } from '../../src/client/client.js';
import { type ErrorCode, errorCodes } from '../../src/model/error.js';
import { xmlElement, xmlValue } from './xml.js';

type Json = Record<string, unknown>;

interface ResponseObject {
  headers?: Json;
  content?: Record<string, { schema: Json }>;
}

export interface OpenApi {
  paths: Record<string, Record<string, { operationId: string; responses: Record<string, ResponseObject> }>>;
  components: Json & { responses: Record<string, ResponseObject>; headers: Json };
}

export interface ErrorAnswer {
  code: ErrorCode;
  message: string;
  requestId: string;
  retryable: boolean;
  errors?: { pointer?: string; parameter?: string; message: string }[];
  blockedBy?: string;
}

export interface Reply<T = unknown> {
  status: number;
  headers: Headers;
  text: string;
  /** The parsed JSON; undefined if there is no JSON body. */
  body: T;
}

export interface CallOptions {
  /** Sent as JSON. */
  body?: unknown;
  /** Sent unchanged. */
  raw?: RequestInit['body'];
  headers?: Record<string, string>;
  /** The only status from 500 on that the test expects. */
  failing?: number;
}

/** Header fields of the transport, of compression and of CORS. All others of a response must be in the document. */
const transport =
  /^(date|connection|keep-alive|transfer-encoding|content-(type|length|encoding)|vary|access-control-[a-z-]+)$/;

/** Traces of internals that no response may show. */
const inside =
  /node_modules|\n\s+at |\/src\/|\.[cm]?[jt]s:\d+|SQLITE|sqlite_|better-sqlite3|ENOENT|\/tmp\/|\/work\//;

/** Whether the document's patterns identify the path's route: an empty or a dotted segment makes it another one. */
function routable(path: string): boolean {
  return !path.includes('//') && !/.\/$/.test(path) && !/(^|\/)\.\.?(\/|$)/.test(path);
}

function replyOf<T = unknown>(status: number, headers: Headers, text: string): Reply<T> {
  return { status, headers, text, body: (text === '' ? undefined : bodyOf(headers, text)) as T };
}

/** What the text says in JSON or XML. */
function bodyOf(headers: Headers, text: string): unknown {
  const type = headers.get('content-type') ?? '';
  if (/^application\/(problem\+)?json/.test(type)) return JSON.parse(text);
  return /^(application|text)\/(problem\+)?xml/.test(type) ? xmlValue(xmlElement(text)) : undefined;
}

/** A response that does not conform to the document. */
export class Breach extends Error {
  override readonly name = 'Breach';
}

function orBreach<R>(check: () => R): R {
  try {
    return check();
  } catch (cause) {
    throw new Breach((cause as Error).message, { cause });
  }
}

/** For a `catch` where a response may be lost or a refusal: one that violates the document is still a failure. */
export function unlessBreach(error: unknown): undefined {
  if (error instanceof Breach) throw error;
}

export class Conformance {
  readonly #document: OpenApi;
  readonly #paths: { path: string; pattern: RegExp; operations: OpenApi['paths'][string] }[];
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #validators = new Map<Json, ValidateFunction>();

  constructor(document: OpenApi) {
    this.#document = document;
    formats.default(this.#ajv);
    this.#paths = Object.entries(document.paths).map(([path, operations]) => ({
      path,
      pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{[A-Za-z_]+\}/g, '[^/]+')}$`),
      operations,
    }));
  }

  /** Throws a Breach if the document has no such response. */
  check<T = unknown>(method: string, path: string, status: number, headers: Headers, text: string): Reply<T> {
    return orBreach(() => {
      const reply = replyOf<T>(status, headers, text);
      this.#check(method, path, reply);
      return reply;
    });
  }

  #check(method: string, path: string, reply: Reply): void {
    const where = `${method} ${path} → ${reply.status}`;
    expect(reply.headers.get('x-request-id'), `${where}: X-Request-Id`).to.match(/^[A-Za-z0-9._~-]{1,128}$/);
    if (!routable(path)) {
      if (reply.status >= 400 && method !== 'HEAD') checkError(where, reply);
      return;
    }
    const name = method === 'HEAD' ? 'get' : method.toLowerCase();
    const matching = this.#paths.filter(({ pattern }) => pattern.test(path));
    // OpenAPI: a concrete path comes before a templated one.
    const concrete = matching.filter((one) => one.path === path);
    const operation = (concrete.length > 0 ? concrete : matching)
      .map(({ operations }) => operations[name])
      .find((one) => one !== undefined);
    const declared =
      operation?.responses[String(reply.status)] ??
      (operation === undefined ? this.#otherwise(method, reply.status) : undefined);
    const ownShape = declared?.content?.['application/json']?.schema['$ref'] !== '#/components/schemas/Error';
    if (reply.status >= 400 && method !== 'HEAD' && !(declared !== undefined && ownShape))
      checkError(where, reply);
    if (declared === undefined)
      throw new Error(`${where}: ${operation?.operationId ?? 'nothing'} declares this status: ${reply.text}`);
    const names = Object.keys(declared.headers ?? {}).map((header) => header.toLowerCase());
    for (const header of reply.headers.keys()) {
      if (!transport.test(header)) expect(names, `${where}: declared headers`).to.include(header);
    }
    if (method !== 'HEAD') this.#checkBody(where, declared, reply);
  }

  /** A response as received; `target` is that of the request line. */
  checkBytes(method: string, target: string, status: number, headers: Headers, bytes: Buffer): Reply {
    const coding = headers.get('content-encoding');
    const plain = orBreach(() => {
      const where = `${method} ${target.slice(0, 200)} → ${status}`;
      if (status === 304 || status === 204 || method === 'HEAD') expect(bytes.length, where).to.equal(0);
      if (bytes.length === 0 || coding === null) return bytes;
      return coding === 'br' ? brotliDecompressSync(bytes) : gunzipSync(bytes);
    });
    const path = URL.canParse(target) ? new URL(target).pathname : (target.split('?')[0] ?? '');
    return this.check(method, path, status, headers, plain.toString());
  }

  /** What the document says about responses outside any operation. */
  #otherwise(method: string, status: number): ResponseObject | undefined {
    const { responses } = this.#document.components;
    return responses[method === 'OPTIONS' && status < 300 ? 'Options' : `Error${status}`];
  }

  #checkBody(where: string, declared: ResponseObject, reply: Reply): void {
    if (declared.content === undefined) {
      expect(reply.text, `${where}: declares no body`).to.equal('');
      return;
    }
    const mediaType = (reply.headers.get('content-type') ?? '').split(';')[0] ?? '';
    const content = declared.content[mediaType] ?? declared.content['*/*'];
    if (content === undefined) throw new Error(`${where}: does not declare ${mediaType}`);
    if (!mediaType.endsWith('json')) return;
    const validate = this.#validator(content.schema);
    if (!validate(reply.body)) {
      throw new Error(
        `${where}: the body breaks its schema: ${this.#ajv.errorsText(validate.errors)}: ${reply.text}`,
      );
    }
  }

  #validator(schema: Json): ValidateFunction {
    let validate = this.#validators.get(schema);
    if (validate === undefined) {
      validate = this.#ajv.compile({ ...schema, components: this.#document.components });
      this.#validators.set(schema, validate);
    }
    return validate;
  }
}

/** The format of every error, wherever it comes from. */
export function checkError(
  where: string,
  { status, headers, text, body }: Omit<Reply, 'headers'> & { headers: { get(name: string): string | null } },
): void {
  const type = headers.get('content-type') ?? '';
  expect(type, where).to.match(/^application\/((problem\+)?(json|xml)|cbor)|^text\/html/);
  // Types are lost in the XML of RFC 9457, and the bytes of CBOR by now; a page is for people.
  if (!/json|application\/xml/.test(type)) return;
  const error = body as ErrorAnswer;
  const { code } = error;
  expect(errorCodes, `${where}: code in ${text.slice(0, 300)}`).to.have.property(code);
  expect(headers.get('x-error-code'), `${where}: X-Error-Code`).to.equal(code);
  expect(errorCodes[code].status, `${where}: status of ${code}`).to.equal(status);
  expect(error.retryable, `${where}: retryable`).to.equal(errorCodes[code].retryable);
  // A stored refusal has the id of the request that was refused first.
  if (headers.get('idempotency-replayed') === null)
    expect(error.requestId, `${where}: requestId`).to.equal(headers.get('x-request-id'));
  const problem = type.startsWith('application/problem+json');
  expect(problem ? (body as { detail: unknown }).detail : error.message, `${where}: message`).to.be.a(
    'string',
  ).that.is.not.empty;
  expect(text, `${where}: the inside shows`).not.to.match(inside);
  if (code === 'unauthorized')
    expect(headers.get('www-authenticate'), `${where}: WWW-Authenticate`).to.match(/^Bearer realm="copse"/);
}

const known = new Map<string, Promise<Conformance>>();
const ready = new Map<string, Conformance>();

async function conformanceOf(url: string): Promise<Conformance> {
  let found = known.get(url);
  if (found === undefined) {
    // Compressing it would take longer than all the rest.
    const headers = { 'Accept-Encoding': 'identity' };
    found = fetch(`${url}/openapi.json`, { headers }).then(async (response) => {
      const text = await response.text();
      if (response.status !== 200) throw new Error(`no document: ${text}`);
      return learn(url, conformanceTo(text, url));
    });
    known.set(url, found);
  }
  return found;
}

const byText = new Map<string, Conformance>();

/** One for all servers with the same document, whatever their port, so that its schemas are compiled only once. */
function conformanceTo(text: string, url: string): Conformance {
  const anywhere = text.replaceAll(url, '');
  const conformance = byText.get(anywhere) ?? new Conformance(JSON.parse(text) as OpenApi);
  byText.set(anywhere, conformance);
  return conformance;
}

function learn(url: string, conformance: Conformance): Conformance {
  known.set(url, Promise.resolve(conformance));
  ready.set(url, conformance);
  return conformance;
}

/**
 * Reads the document of a server that has just started, which may reuse the port of an earlier one. `document`: for a
 * server that does not serve it.
 */
export async function learnDocument(url: string, document?: OpenApi): Promise<void> {
  known.delete(url);
  if (document === undefined) await conformanceOf(url);
  else learn(url, new Conformance(document));
}

/** The document of a server that must be known by now: without one a response would pass unchecked. */
export function knownConformance(url: string): Conformance {
  const conformance = ready.get(url);
  if (conformance === undefined) throw new Error(`the document of ${url} is not known: learnDocument`);
  return conformance;
}

/**
 * fetch, for tests that need more than `Api` offers. The response is still checked against the document; for an event
 * stream, its headers. An incomplete response is a failure of fetch itself.
 */
export async function checkedFetch(url: string | URL, init: RequestInit = {}): Promise<Response> {
  const { origin, pathname } = new URL(url);
  const conformance = await conformanceOf(origin);
  const response = await fetch(url, init);
  const { status, headers } = response;
  const endless = headers.get('content-type')?.startsWith('text/event-stream') === true;
  const text = endless ? '' : await response.clone().text();
  conformance.check(init.method ?? 'GET', pathname, status, headers, text);
  return response;
}

/** The product's client, with its responses checked against the document. */
export function checkedClient(url: string, key: string, options: ClientOptions = {}): Client {
  return new Client(url, key, { ...options, fetch: checkedFetch });
}

/** The API as seen by one caller. */
export class Api {
  readonly url: string;
  readonly #headers: Record<string, string>;

  /** Without `headers` an anonymous caller. */
  constructor(url: string, headers: Record<string, string> = {}) {
    this.url = url;
    this.#headers = headers;
  }

  static withKey(url: string, key: string): Api {
    return new Api(url, { Authorization: `Bearer ${key}` });
  }

  get<T = unknown>(path: string, options: CallOptions = {}): Promise<Reply<T>> {
    return this.call<T>('GET', path, options);
  }

  post<T = unknown>(path: string, body?: unknown, options: CallOptions = {}): Promise<Reply<T>> {
    return this.call<T>('POST', path, { body, ...options });
  }

  put<T = unknown>(path: string, body?: unknown, options: CallOptions = {}): Promise<Reply<T>> {
    return this.call<T>('PUT', path, { body, ...options });
  }

  patch<T = unknown>(path: string, body?: unknown, options: CallOptions = {}): Promise<Reply<T>> {
    return this.call<T>('PATCH', path, { body, ...options });
  }

  delete(path: string, options: CallOptions = {}): Promise<Reply> {
    return this.call('DELETE', path, options);
  }

  /** Fails if the response does not conform to the OpenAPI document, or is an unexpected 5xx. */
  async call<T = unknown>(method: string, path: string, options: CallOptions = {}): Promise<Reply<T>> {
    const { body, raw, headers = {}, failing } = options;
    const target = path.startsWith('http') ? path : this.url + path;
    const conformance = await conformanceOf(this.url);
    const response = await fetch(target, {
      method,
      headers: {
        ...this.#headers,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(raw === undefined ? {} : { body: raw, duplex: 'half' }),
    });
    const text = await response.text();
    const { status } = response;
    if (status >= 500) expect(status, `${method} ${path}: ${text}`).to.equal(failing);
    return conformance.check<T>(method, new URL(target).pathname, status, response.headers, text);
  }

  /** The error response of a call that must be refused with this code. */
  async refused(
    code: ErrorCode,
    method: string,
    path: string,
    options: CallOptions = {},
  ): Promise<Reply<ErrorAnswer>> {
    const reply = await this.call<ErrorAnswer>(method, path, options);
    expect(reply.status, `${method} ${path}: ${reply.text}`).to.equal(errorCodes[code].status);
    expect(reply.body.code, `${method} ${path}: ${reply.text}`).to.equal(code);
    return reply;
  }
}
