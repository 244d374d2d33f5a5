/** What a handler returns, and the HTTP response made from it. */
import type { Readable } from 'node:stream';
import { entityTag } from './preconditions.js';

/** Serialised JSON, as text or as its bytes in UTF-8; sent unchanged. */
export class JsonText {
  readonly text: string | Buffer;

  constructor(text: string | Buffer) {
    this.text = text;
  }
}

/** A body that is not JSON, such as the reference page. */
export class RawBody {
  readonly mediaType: string;
  readonly content: Buffer | string;

  constructor(mediaType: string, content: Buffer | string) {
    this.mediaType = mediaType;
    this.content = content;
  }
}

/** A body that is generated while it is sent, and may last longer than a request may take. */
export class StreamBody {
  readonly mediaType: string;
  /** Called when the response is sent; the stream is destroyed when the client disconnects. */
  readonly open: () => Readable;

  constructor(mediaType: string, open: () => Readable) {
    this.mediaType = mediaType;
    this.open = open;
  }
}

/** The pages next to this one, as in PaginationMetadata. */
export interface Links {
  /** The value of the Link header (RFC 8288), with absolute URLs. */
  makeHeader(apiUrl: string): string;
}

/** What a handler can return besides a body. */
export interface ResponseMetadata {
  /** Default: 200 with a result, 204 without. */
  status?: number;
  /** Path of the created resource (201) or of the task to follow (202). Made absolute by the encoder. */
  location?: string;
  /** Seconds after which it makes sense to poll `location`. */
  retryAfter?: number;
  pages?: Links;
  /** Number of items on all pages of the list, for a client that asked for it. */
  total?: number;
  /** Default: no-cache, so that a client may cache the response but must revalidate it. */
  cacheControl?: string;
  /** Further fields. */
  headers?: Readonly<Record<string, string>>;
  /** The cookie to set. */
  setCookie?: string;
  /** Revision of the resource that is the result. Enables a strong ETag and conditional reads. */
  revision?: string | number;
}

export interface ResponseData {
  /** Undefined: no body. Lists are always arrays, even with one element or none. */
  result?: unknown;
  metadata?: ResponseMetadata;
}

/** A response that is ready to be sent, or to be stored for a repeat of the request. */
export interface Answer {
  status: number;
  headers: Record<string, string>;
  body?: string | Buffer | StreamBody;
}

/** The media type of every response that is not given another one. */
export const json = 'application/json; charset=utf-8';

/** Serialises before the response is touched, so that a failure can still become a clean 500. */
export function answerOf(data: ResponseData, publicUrl: string): Answer {
  const { result, metadata = {} } = data;
  const headers: Record<string, string> = { 'Cache-Control': metadata.cacheControl ?? 'no-cache' };
  if (metadata.headers !== undefined) Object.assign(headers, metadata.headers);
  if (metadata.location !== undefined) headers['Location'] = publicUrl + metadata.location;
  if (metadata.retryAfter !== undefined) headers['Retry-After'] = String(metadata.retryAfter);
  if (metadata.revision !== undefined) headers['ETag'] = entityTag(metadata.revision);
  if (metadata.setCookie !== undefined) headers['Set-Cookie'] = metadata.setCookie;
  if (metadata.pages !== undefined) headers['Link'] = metadata.pages.makeHeader(publicUrl);
  if (metadata.total !== undefined) {
    headers['X-Total-Count'] = String(metadata.total);
    headers['Preference-Applied'] = 'count=exact';
  }
  if (result === undefined) return { status: metadata.status ?? 204, headers };
  const status = metadata.status ?? 200;
  if (result instanceof StreamBody) {
    // Buffering proxies would hold back what must arrive now.
    return {
      status,
      headers: { ...headers, 'Content-Type': result.mediaType, 'X-Accel-Buffering': 'no' },
      body: result,
    };
  }
  if (result instanceof RawBody)
    return { status, headers: { ...headers, 'Content-Type': result.mediaType }, body: result.content };
  headers['Content-Type'] = json;
  if (result instanceof JsonText) return { status, headers, body: result.text };
  const text = JSON.stringify(result) as string | undefined;
  if (text === undefined) throw new Error(`A ${typeof result} cannot be written as JSON`);
  return { status, headers, body: text };
}
