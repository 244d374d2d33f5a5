/** The last step of a request: what is written of its response. */
import type { Readable } from 'node:stream';
import type { Context } from 'koa';
import type { PipelineState } from './context.js';
import { unmodifiedTag } from './preconditions.js';
import { type Representation, represented } from './representation.js';
import { type Answer, StreamBody } from './response.js';

/** Sends the response in the form that the client prefers, or 304 if it already has it. */
export function respond(ctx: Context, made: Answer, form?: Representation): void {
  const { status, headers, body } = form === undefined ? made : represented(made, form, ctx);
  const tag = headers['ETag'];
  const { res } = ctx;
  const { method, headers: asked } = ctx.req;
  const reading = method === 'GET' || method === 'HEAD';
  const unmodified = tag !== undefined && reading ? unmodifiedTag(asked, tag) : undefined;
  ctx.status = unmodified === undefined ? status : 304;
  if (unmodified === undefined && body !== undefined) {
    // Koa guesses the type of a body that has none.
    if (headers['Content-Type'] !== undefined) res.setHeader('Content-Type', headers['Content-Type']);
    ctx.body = body instanceof StreamBody ? streamFor(ctx, body) : body;
  } else {
    ctx.body = null;
    // Koa turns any response with a null body into 204, but an accepted task (202) has no body either.
    ctx.status = unmodified === undefined ? status : 304;
    if (ctx.status !== 204 && ctx.status !== 304) ctx.length = 0;
  }
  for (const name in headers) {
    if (name !== 'Content-Type') res.setHeader(name, valueOf(ctx, name, headers[name] ?? ''));
  }
  if (unmodified !== undefined) ctx.set('ETag', unmodified);
  if (body === undefined) ctx.remove('Content-Type');
}

/** A stream lives as long as its client reads, not as long as a request may take. */
function streamFor(ctx: Context, body: StreamBody): Readable | string {
  if (ctx.method === 'HEAD') return '';
  (ctx.state as PipelineState).lifetime.release();
  return body.open();
}

/** Links of the response are added to those that announce a deprecation; what a session gets is for nobody else. */
function valueOf(ctx: Context, name: string, value: string): string {
  if (name === 'Cache-Control' && (ctx.state as PipelineState).ofSession === true)
    return /private|no-store/.test(value) ? value : `private, ${value}`;
  const known = name === 'Link' ? ctx.res.getHeader('Link') : undefined;
  return known === undefined ? value : `${String(known)}, ${value}`;
}
