/** A REST client for the API: authenticates, follows Link headers, turns error answers into errors. */
import type { ErrorCode } from '../model/error.js';
import { linksOf } from '../model/link-header.js';

/** An error answer, with the stable code to act on. */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly status: number;
  readonly code: ErrorCode | 'unknown';
  readonly retryable: boolean;

  constructor(status: number, body: { code?: ErrorCode; message?: string; retryable?: boolean }) {
    super(body.message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? 'unknown';
    this.retryable = body.retryable ?? status >= 500;
  }
}

export interface Answer<T> {
  status: number;
  headers: Headers;
  body: T;
}

export interface Call {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  url: string;
  body?: unknown;
}

export interface ClientOptions {
  /** Told of each call before it is made. */
  onCall?: (call: Call) => void;
  /** Milliseconds before a call is given up. */
  timeout?: number;
  /** Makes the calls instead of the global one: to look at each answer, or to take another way. */
  fetch?: (url: URL, init: RequestInit) => Promise<Response>;
}

export class Client {
  readonly #url: string;
  readonly #key: string;
  readonly #options: ClientOptions;

  /** `url` is the server's base URL, `key` an API key. */
  constructor(url: string, key: string, options: ClientOptions = {}) {
    this.#url = url.replace(/\/+$/, '');
    this.#key = key;
    this.#options = options;
  }

  get<T>(path: string): Promise<Answer<T>> {
    return this.call<T>({ method: 'GET', url: path });
  }

  post<T>(path: string, body?: unknown): Promise<Answer<T>> {
    return this.call<T>({ method: 'POST', url: path, ...(body === undefined ? {} : { body }) });
  }

  delete(path: string): Promise<Answer<undefined>> {
    return this.call<undefined>({ method: 'DELETE', url: path });
  }

  /** Rejects with CallError for any answer that is not 2xx. `url` is a path, or an absolute URL of this server. */
  async call<T>({ method, url, body }: Call): Promise<Answer<T>> {
    // A base URL may have a path of its own, which a path of the API goes on from.
    const isPath = url.startsWith('/') && !url.startsWith('//');
    const target = new URL(isPath ? this.#url + url : url, `${this.#url}/`);
    // A key must not follow a link to somewhere else.
    if (target.origin !== new URL(this.#url).origin)
      throw new Error(`${target.origin} is not the server ${this.#url}`);
    this.#options.onCall?.({ method, url: target.href, ...(body === undefined ? {} : { body }) });
    const ask = this.#options.fetch ?? fetch;
    const response = await ask(target, {
      method,
      headers: {
        Authorization: `Bearer ${this.#key}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      },
      signal: AbortSignal.timeout(this.#options.timeout ?? 60_000),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new CallError(response.status, errorOf(text));
    return {
      status: response.status,
      headers: response.headers,
      body: (text === '' ? undefined : JSON.parse(text)) as T,
    };
  }

  /** The pages of a list, following `next` until there is none. */
  async *pages<T>(path: string): AsyncGenerator<Answer<T[]>> {
    const seen = new Set<string>();
    let next: string | undefined = path;
    while (next !== undefined && !seen.has(next)) {
      seen.add(next);
      const answer: Answer<T[]> = await this.get<T[]>(next);
      yield answer;
      next = linksOf(answer.headers.get('link')).get('next');
    }
  }

  /** Every item of a list. */
  async *items<T>(path: string): AsyncGenerator<T> {
    for await (const page of this.pages<T>(path)) yield* page.body;
  }
}

function errorOf(text: string): { code?: ErrorCode; message?: string; retryable?: boolean } {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === 'object' && body !== null) return body;
  } catch {
    // A proxy's page, or nothing at all.
  }
  return text.trim() === '' ? {} : { message: text.trim().slice(0, 200) };
}
