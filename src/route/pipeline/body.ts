/**
 * Reads a body, on routes that declare one and only after the caller has been authorized: JSON, or the same in XML, CBOR
 * or as a form (docs/representations.md).
 */
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import type { Context } from 'koa';
import bodyParser from 'koa-bodyparser';
import type { TSchema } from 'typebox';
import { ApiError } from '../../model/error.js';
import { readCbor } from './cbor-reader.js';
import { readForm } from './form-reader.js';
import type { Declaration } from './handler.js';
import { malformedBody, valueOfNode } from './text-tree.js';
import { readXml } from './xml-reader.js';

export { contentReader } from './content.js';

export interface BodyOptions {
  /** Gives types to what has none in XML and in forms. Without it, only JSON is read. */
  schema?: TSchema | undefined;
  /** Of a form, the member that may have the JSON instead. */
  formMember?: string | undefined;
}

/** What is signed is JSON. */
export function bodyOptionsOf({
  body,
  signed,
  formMember,
}: Pick<Declaration, 'body' | 'signed' | 'formMember'>): BodyOptions {
  return { schema: signed === true ? undefined : body, formMember };
}

export type BodyReader = (ctx: Context, options?: BodyOptions) => Promise<unknown>;

interface ParserFailure {
  status?: number;
  type?: string;
}

const json = 'application/json';
const form = 'application/x-www-form-urlencoded';

/** Reads the media types other than JSON. */
const others: Readonly<Record<string, (bytes: Buffer, schema: TSchema) => unknown>> = {
  'application/xml': (bytes, schema) => valueOfNode(readXml(textIn(bytes)), schema),
  'text/xml': (bytes, schema) => valueOfNode(readXml(textIn(bytes)), schema),
  'application/cbor': readCbor,
  [form]: (bytes, schema) => valueOfNode(readForm(textIn(bytes)), schema),
};

const bodyTypes = [json, 'application/xml', 'application/cbor', form];

/** Media types of a merge patch (RFC 7396), as in Accept-Patch (RFC 5789 section 3.1). */
export const patchTypes = ['application/merge-patch+json', ...bodyTypes];

/** Media types of a body, the preferred one first. */
export function typesOfBody(method: string, { schema, formMember }: BodyOptions): readonly string[] {
  const types = method === 'PATCH' ? patchTypes : bodyTypes;
  if (schema !== undefined) return types;
  return types.filter((one) => one.endsWith('json') || (one === form && formMember !== undefined));
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function textIn(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw malformedBody('The body is not in UTF-8.', { cause });
  }
}

function failure(error: Error & ParserFailure, limit: number): ApiError {
  const options = { cause: error };
  if (error.status === 413) return tooLarge(limit, options);
  if (error.status === 415) {
    return new ApiError(
      'unsupported_media_type',
      'The content coding of the body is not supported; send it plain or as gzip.',
      // RFC 9110 section 12.5.3.
      { ...options, headers: { 'Accept-Encoding': 'gzip, deflate, br' } },
    );
  }
  if (error.type === 'request.aborted')
    return new ApiError('request_timeout', 'The body is incomplete.', options);
  return malformed(options);
}

function tooLarge(limit: number, options = {}): ApiError {
  return new ApiError('too_large', `The body is larger than ${limit} bytes.`, options);
}

function malformed(options = {}): ApiError {
  return new ApiError('malformed_json', 'The body is not a JSON object in UTF-8.', options);
}

/**
 * `limit` in bytes, of the body after any decompression. The parser returns the bytes unchanged (as Latin-1), because
 * its own decoding would replace broken UTF-8.
 */
export function bodyReader(limit: number, shape: 'object' | 'array' = 'object'): BodyReader {
  const parserOptions: bodyParser.Options & { encoding: string } = {
    enableTypes: ['text'],
    extendTypes: { text: [...patchTypes, 'text/xml'] },
    encoding: 'latin1',
    textLimit: `${limit}b`,
    onerror: (error, ctx) => {
      // The rest of a refused body is read and dropped, or the connection could not be reused.
      ctx.req.unpipe();
      ctx.req.resume();
      throw failure(error, limit);
    },
  };
  const parse = bodyParser(parserOptions);
  return async (ctx, options = {}) => {
    if (!hasBody(ctx)) throw missing();
    const charset = ctx.request.charset.toLowerCase();
    const types = typesOfBody(ctx.method, options);
    const { schema, formMember } = options;
    const type = ctx.is(schema === undefined ? [...types] : [...types, 'text/xml']);
    if (typeof type !== 'string' || (charset !== '' && charset !== 'utf-8')) {
      if (ctx.get('Content-Length') === '' && (await smallBody(ctx))?.length === 0) throw missing();
      const accept = types.join(', ');
      throw new ApiError('unsupported_media_type', `The body must be ${types.join(' or ')} in UTF-8.`, {
        headers: { Accept: accept, ...(ctx.method === 'PATCH' ? { 'Accept-Patch': accept } : {}) },
      });
    }
    if (Number(ctx.get('Content-Length')) > limit) throw tooLarge(limit);
    await parse(ctx, () => Promise.resolve());
    const raw = ctx.request.rawBody as string | undefined;
    const read = others[type];
    if (read !== undefined && schema !== undefined) return valueIn(read, raw, schema);
    return valueOf(shape, formMember !== undefined && type === form ? memberOf(raw, formMember) : raw);
  };
}

function missing(): ApiError {
  return new ApiError('malformed_json', 'A body is required, such as one in JSON.');
}

/** The member of a form, in the encoding of the whole: bytes as Latin-1. */
function memberOf(raw = '', name: string): string {
  const text = new URLSearchParams(raw).get(name);
  if (text === null) throw new ApiError('malformed_json', `The form has no member "${name}" with the JSON.`);
  return Buffer.from(text).toString('latin1');
}

function valueIn(read: (bytes: Buffer, schema: TSchema) => unknown, raw = '', schema: TSchema): object {
  if (raw === '') throw missing();
  const value = read(Buffer.from(raw, 'latin1'), schema);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformedBody('The body must be an object, not a single value or a list.');
  assertUnicode(value);
  return value;
}

function valueOf(shape: 'object' | 'array', raw = ''): object {
  if (raw === '') throw missing();
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(Buffer.from(raw, 'latin1'));
    value = JSON.parse(text);
  } catch (cause) {
    throw malformed({ cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value) !== (shape === 'array'))
    throw malformed();
  // Only an escape can smuggle in an unpaired surrogate, which no store and no other client could handle.
  if (text.includes('\\u')) assertUnicode(value);
  return value;
}

function assertUnicode(value: object): void {
  if (isWellFormed(value)) return;
  throw new ApiError('invalid_body', 'The body contains an unpaired surrogate, which is not valid Unicode.');
}

/** Whether every string and member name is valid Unicode. Without recursion: the client chooses the nesting. */
function isWellFormed(value: unknown): boolean {
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next === 'string' && /\p{Surrogate}/u.test(next)) return false;
    if (typeof next !== 'object' || next === null) continue;
    for (const [name, member] of Object.entries(next)) open.push(name, member);
  }
  return true;
}

/** Judged by the headers alone. A body of unknown length, which proxies often declare, may still be empty. */
export function hasBody(ctx: Context): boolean {
  const { headers } = ctx.req;
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** Bytes that are read of an unexpected body to see whether it is empty. */
const peekLimit = 1024;

const undo: Readonly<Record<string, typeof gunzipSync>> = {
  gzip: gunzipSync,
  'x-gzip': gunzipSync,
  deflate: inflateSync,
  br: brotliDecompressSync,
};

/** An empty body: no bytes, blanks, an empty object, null. */
const nothing = /^[ \t\r\n]*(?:\{[ \t\r\n]*\}|null)?[ \t\r\n]*$/;

/**
 * Refuses a body on a route without one, where it could only be a misunderstanding. An empty one passes: proxies
 * declare empty bodies, and some clients always send an object.
 */
export function refuseBody(ctx: Context, isContent = false): Promise<void> | undefined {
  return !isContent && hasBody(ctx) ? refuseContent(ctx) : undefined;
}

async function refuseContent(ctx: Context): Promise<void> {
  const body = await smallBody(ctx);
  if (body !== undefined && nothing.test(textOf(body, ctx.get('Content-Encoding')))) return;
  const message = 'No body is accepted here; send the request without one, or with an empty JSON object.';
  throw new ApiError('invalid_body', message);
}

/** The decoded text; anything unreadable counts as content. */
function textOf(body: Buffer, coding: string): string {
  try {
    const plain = body.length === 0 ? undefined : undo[coding.trim().toLowerCase()];
    return utf8.decode(plain === undefined ? body : plain(body, { maxOutputLength: peekLimit }));
  } catch {
    return 'unreadable';
  }
}

/** The body's bytes as received; undefined if there are more than `peekLimit`, the rest of which is dropped. */
function smallBody(ctx: Context): Promise<Buffer | undefined> {
  const { req } = ctx;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (found: Buffer | undefined) => {
      req.off('data', take).off('end', end).off('error', fail).off('close', fail);
      // The rest is read and dropped, or the connection could not be reused.
      req.resume();
      resolve(found);
    };
    const take = (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > peekLimit) settle(undefined);
    };
    const end = () => settle(Buffer.concat(chunks));
    const fail = () => reject(new ApiError('request_timeout', 'The body is incomplete.'));
    if (Number(ctx.get('Content-Length')) > peekLimit) settle(undefined);
    else req.on('data', take).on('end', end).on('error', fail).on('close', fail);
  });
}
