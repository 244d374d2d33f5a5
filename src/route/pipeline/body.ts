/** Reads a JSON body, on the routes that declare one and only after the caller has passed. */
import type { Context } from 'koa';
import bodyParser from 'koa-bodyparser';
import { ApiError } from '../../model/error.js';

export type BodyReader = (ctx: Context) => Promise<unknown>;

interface ParserFailure {
  status?: number;
  type?: string;
}

function failure(error: Error & ParserFailure, limit: number): ApiError {
  const options = { cause: error };
  if (error.status === 413)
    return new ApiError('too_large', `The body is larger than ${limit} bytes.`, options);
  if (error.status === 415) {
    return new ApiError(
      'unsupported_media_type',
      'The body has a content coding that is not taken; send it plain or as gzip.',
      options,
    );
  }
  if (error.type === 'request.aborted')
    return new ApiError('request_timeout', 'The body did not arrive whole.', options);
  return new ApiError('malformed_json', 'The body is not a JSON object in UTF-8.', options);
}

/** `limit` in bytes, of the body after any decompression. */
export function bodyReader(limit: number): BodyReader {
  const parse = bodyParser({
    enableTypes: ['json'],
    jsonLimit: `${limit}b`,
    onerror: (error) => {
      throw failure(error, limit);
    },
  });
  return async (ctx) => {
    if (!hasBody(ctx)) throw new ApiError('malformed_json', 'A JSON body is needed.');
    if (ctx.is('application/json') === false) {
      throw new ApiError('unsupported_media_type', 'The body must be application/json.', {
        headers: { Accept: 'application/json' },
      });
    }
    if (Number(ctx.get('Content-Length')) > limit)
      throw new ApiError('too_large', `The body is larger than ${limit} bytes.`);
    await parse(ctx, () => Promise.resolve());
    if ((ctx.request.rawBody as string | undefined) === '')
      throw new ApiError('malformed_json', 'A JSON body is needed.');
    return ctx.request.body;
  };
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
