/** Reads a JSON body, on the routes that declare one and only after the caller has passed. */
import type { Context } from 'koa';
import bodyParser from 'koa-bodyparser';
import { ApiError } from '../../model/error.js';

export type BodyReader = (ctx: Context) => Promise<unknown>;

interface ParserFailure {
  status?: number;
  type?: string;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function failure(error: Error & ParserFailure, limit: number): ApiError {
  const options = { cause: error };
  if (error.status === 413) return tooLarge(limit, options);
  if (error.status === 415) {
    return new ApiError(
      'unsupported_media_type',
      'The body has a content coding that is not taken; send it plain or as gzip.',
      // RFC 9110 section 12.5.3.
      { ...options, headers: { 'Accept-Encoding': 'gzip, deflate, br' } },
    );
  }
  if (error.type === 'request.aborted')
    return new ApiError('request_timeout', 'The body did not arrive whole.', options);
  return malformed(options);
}

function tooLarge(limit: number, options = {}): ApiError {
  return new ApiError('too_large', `The body is larger than ${limit} bytes.`, options);
}

function malformed(options = {}): ApiError {
  return new ApiError('malformed_json', 'The body is not a JSON object in UTF-8.', options);
}

/**
 * `limit` in bytes, of the body after any decompression. The parser hands out the bytes as they are (as Latin-1), because
 * its own decoding would put replacement characters where the client sent broken UTF-8.
 */
export function bodyReader(limit: number): BodyReader {
  const options: bodyParser.Options & { encoding: string } = {
    enableTypes: ['text'],
    extendTypes: { text: ['application/json'] },
    encoding: 'latin1',
    textLimit: `${limit}b`,
    onerror: (error, ctx) => {
      // The rest of a body that is refused is read and dropped, or the connection could not go on.
      ctx.req.unpipe();
      ctx.req.resume();
      throw failure(error, limit);
    },
  };
  const parse = bodyParser(options);
  return async (ctx) => {
    if (!hasBody(ctx)) throw new ApiError('malformed_json', 'A JSON body is needed.');
    const charset = ctx.request.charset.toLowerCase();
    if (ctx.is('application/json') === false || (charset !== '' && charset !== 'utf-8')) {
      throw new ApiError('unsupported_media_type', 'The body must be application/json in UTF-8.', {
        headers: { Accept: 'application/json' },
      });
    }
    if (Number(ctx.get('Content-Length')) > limit) throw tooLarge(limit);
    await parse(ctx, () => Promise.resolve());
    return objectOf(ctx.request.rawBody as string | undefined);
  };
}

function objectOf(raw = ''): object {
  if (raw === '') throw new ApiError('malformed_json', 'A JSON body is needed.');
  let text: string;
  let value: unknown;
  try {
    text = utf8.decode(Buffer.from(raw, 'latin1'));
    value = JSON.parse(text);
  } catch (cause) {
    throw malformed({ cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed();
  // Only an escape can smuggle in half of a surrogate pair, which no store and no other client could take.
  if (text.includes('\\u') && !isWellFormed(value)) {
    throw new ApiError('invalid_body', 'The body holds half of a surrogate pair, which is no Unicode text.');
  }
  return value;
}

/** Whether every text and member name within is Unicode. Without recursion: nesting is the client's choice. */
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

function hasBody(ctx: Context): boolean {
  const length = ctx.get('Content-Length');
  return ctx.get('Transfer-Encoding') !== '' || (length !== '' && length !== '0');
}

/** Refuses a body on a route that takes none, where it could only be a misunderstanding. */
export function refuseBody(ctx: Context): void {
  if (!hasBody(ctx)) return;
  throw new ApiError('invalid_body', 'This takes no body; send the request without one.');
}
