/** A REST client for the API: authenticates, follows Link headers, turns error responses into errors. */
import { linksOf } from '../model/link-header.js';
import { CallError } from './call-error.js';
import { ConnectionError, isBrokenConnection, withRepeats } from './retry.js';

export { CallError } from './call-error.js';
export { ConnectionError } from './retry.js';

/** Header fields of a response. */
export interface Fields {
  get(name: string): string | null;
  entries(): Iterable<[name: string, value: string]>;
}

export interface Answer<T> {
  status: number;
  headers: Fields;
  body: T;
}

/** As much of a Response as is needed. */
export interface Reply {
  status: number;
  ok: boolean;
  headers: Fields;
  body: AsyncIterable<Uint8Array> | null;
  text(): Promise<string>;
}

export interface Call {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  url: string;
  body?: unknown;
}

/** Options of a call. */
export interface CallOptions {
  /** Entity tag that the resource must still have; otherwise 412 `precondition_failed`. */
  ifMatch?: string;
  /** For a POST: repeats with the same key are carried out once, and get the first response. */
  idempotencyKey?: string;
  /** Seconds that the server may wait for the task to end before it responds. */
  wait?: number;
  /** Media type of the body. Default: `application/json`. */
  contentType?: string;
  /** Ends the call early. */
  signal?: AbortSignal | undefined;
  /** Whether the request may be repeated after a lost response. Default: unless it is a POST without a key. */
  repeatable?: boolean;
}

export interface ClientOptions {
  /** Called before each request. */
  onCall?: (call: Call) => void;
  /** Timeout of a call in milliseconds. */
  timeout?: number;
  /** How often a request is repeated that failed but may succeed later. Default: 0. */
  retries?: number;
  /** Replaces the global `fetch`: to inspect responses, or to use another transport. */
  fetch?: (url: URL, init: RequestInit) => Promise<Reply>;
}

/** Their responses show secrets or begin sessions, so that they are not stored under an Idempotency-Key. */
export const unkeyed = /\/(setup|signin|signout|apikeys|rotate|subscriptions|hooks\/[^/]+)$/;

export class Client {
  readonly #url: string;
  readonly #key: string | undefined;
  readonly #options: ClientOptions;

  /** `url` is the server's base URL, `key` an API key; without one, only what needs none can be called. */
  constructor(url: string, key: string | undefined, options: ClientOptions = {}) {
    this.#url = url.replace(/\/+$/, '');
    this.#key = key;
    this.#options = options;
  }

  get<T>(path: string, options?: Pick<CallOptions, 'wait' | 'signal'>): Promise<Answer<T>> {
    return this.call<T>({ method: 'GET', url: path }, options);
  }

  post<T>(path: string, body?: unknown, options?: CallOptions): Promise<Answer<T>> {
    return this.call<T>({ method: 'POST', url: path, ...(body === undefined ? {} : { body }) }, options);
  }

  put<T>(path: string, body: unknown, options?: CallOptions): Promise<Answer<T>> {
    return this.call<T>({ method: 'PUT', url: path, body }, options);
  }

  patch<T>(path: string, body: unknown, options?: CallOptions): Promise<Answer<T>> {
    return this.call<T>({ method: 'PATCH', url: path, body }, options);
  }

  /** Most deletes return no body; one that waits for its task returns the task. */
  delete<T = undefined>(path: string, options?: CallOptions): Promise<Answer<T>> {
    return this.call<T>({ method: 'DELETE', url: path }, options);
  }

  /** Rejects with CallError for any response that is not 2xx. `url` is a path, or an absolute URL of this server. */
  async call<T>(call: Call, options: CallOptions = {}): Promise<Answer<T>> {
    const { retries = 0 } = this.#options;
    const keyed = this.#keyed(call, options);
    const repeatable = options.repeatable ?? (call.method !== 'POST' || keyed.idempotencyKey !== undefined);
    return withRepeats(() => this.#once<T>(call, keyed), { retries, repeatable, signal: options.signal });
  }

  /** A POST that may be repeated has a key, which all its repeats share. */
  #keyed(call: Call, options: CallOptions): CallOptions {
    const isKept = options.idempotencyKey !== undefined || options.repeatable === false;
    if (call.method !== 'POST' || isKept || (this.#options.retries ?? 0) === 0) return options;
    const [path = ''] = call.url.split('?');
    return unkeyed.test(path) ? options : { ...options, idempotencyKey: crypto.randomUUID() };
  }

  async #once<T>(call: Call, options: CallOptions): Promise<Answer<T>> {
    const limit = AbortSignal.timeout((this.#options.timeout ?? 60_000) + 1000 * (options.wait ?? 0));
    const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit]);
    const response = await this.#send(call, options, signal);
    const text = await response.text().catch((error: unknown) => this.#broken(error));
    const { status, headers } = response;
    if (!response.ok) throw new CallError(status, headers, text);
    return { status, headers, body: bodyOf(status, text) as T };
  }

  /** The response of a GET, to be read as it arrives. */
  async stream(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<Reply> {
    const response = await this.#send({ method: 'GET', url }, {}, signal, headers);
    if (!response.ok) throw new CallError(response.status, response.headers, await response.text());
    return response;
  }

  async #send(
    { method, url, body }: Call,
    options: CallOptions,
    signal: AbortSignal,
    more: Record<string, string> = {},
  ): Promise<Reply> {
    const target = this.#target(url);
    // The key must not be sent to another origin.
    if (target.origin !== new URL(this.#url).origin)
      throw new Error(`${target.origin} is not the server ${this.#url}`);
    this.#options.onCall?.({ method, url: target.href, ...(body === undefined ? {} : { body }) });
    const ask = this.#options.fetch ?? fetch;
    const headers = {
      ...(this.#key === undefined ? {} : { Authorization: `Bearer ${this.#key}` }),
      ...(body === undefined ? {} : { 'Content-Type': options.contentType ?? 'application/json' }),
      ...conditionsOf(options),
      ...more,
    };
    const payload = body === undefined ? {} : { body: JSON.stringify(body) };
    return ask(target, { method, headers, signal, ...payload }).catch((error: unknown) =>
      this.#broken(error),
    );
  }

  #broken(error: unknown): never {
    throw isBrokenConnection(error) ? new ConnectionError(this.#url, error) : error;
  }

  /** The pages of a list, following `next` to the end. No page is requested twice, however its URL is written. */
  async *pages<T>(path: string): AsyncGenerator<Answer<T[]>> {
    const seen = new Set<string>();
    let next: string | undefined = path;
    while (next !== undefined) {
      const target: string = this.#target(next).href;
      if (seen.has(target)) return;
      seen.add(target);
      const answer: Answer<T[]> = await this.get<T[]>(next);
      yield answer;
      const link = linksOf(answer.headers.get('link')).get('next');
      // RFC 8288, 3.2: relative to the page that contains the link.
      next = link === undefined ? undefined : new URL(link, target).href;
    }
  }

  /** Every item of a list. */
  async *items<T>(path: string): AsyncGenerator<T> {
    for await (const page of this.pages<T>(path)) yield* page.body;
  }

  /** A base URL may have a path of its own, to which the path of the API is appended. */
  #target(url: string): URL {
    const isPath = url.startsWith('/') && !url.startsWith('//');
    const target = new URL(isPath ? this.#url + url : url, `${this.#url}/`);
    // The fragment is never sent.
    target.hash = '';
    return target;
  }
}

function conditionsOf({ ifMatch, idempotencyKey, wait }: CallOptions): Record<string, string> {
  return {
    ...(ifMatch === undefined ? {} : { 'If-Match': ifMatch }),
    ...(idempotencyKey === undefined ? {} : { 'Idempotency-Key': idempotencyKey }),
    ...(wait === undefined ? {} : { Prefer: `wait=${wait}` }),
  };
}

/** A success whose body cannot be read is an error: a program cannot continue with it. */
function bodyOf(status: number, text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`The server responded with status ${status} and a body that is not JSON.`, { cause });
  }
}
