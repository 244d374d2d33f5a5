/** A body that is passed on as it arrives, on routes that declare one: it may be large, and take long. */
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { Context } from 'koa';
import { ApiError } from '../../model/error.js';
import type { PipelineState } from './context.js';

/** The first is that of the IETF's draft on resumable uploads. */
export const contentTypes = ['application/partial-upload', 'application/octet-stream'];

/** Ms without a byte after which the client counts as gone. */
const stallMs = 60_000;

/** Requests whose body may take longer than others. */
const streamed = new WeakSet<IncomingMessage>();

export function isStreamed(request: IncomingMessage): boolean {
  return streamed.has(request);
}

const none = () => Readable.from([]);

/** Checks the type now; the body is read, and the request gets the time that this takes, once the stream is opened. */
export function contentReader(ctx: Context, isDeclared = false): () => Readable {
  if (!isDeclared) return none;
  if (ctx.is(contentTypes) === false || ctx.get('Content-Encoding') !== '') {
    const accept = contentTypes.join(', ');
    throw new ApiError('unsupported_media_type', `The body must be ${contentTypes.join(' or ')}, plain.`, {
      headers: { Accept: accept },
    });
  }
  return () => {
    const { req } = ctx;
    streamed.add(req);
    (ctx.state as PipelineState).lifetime.release();
    req.setTimeout(stallMs, () => req.destroy(new ApiError('request_timeout', 'No more content arrives.')));
    return req;
  };
}
