/** Compresses responses: brotli and gzip at their fastest level, which costs less than the serialisation. */
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import type { Context, Middleware } from 'koa';

/** Size in bytes below which a response fits into one packet anyway. */
const threshold = 1400;

const brotli = promisify(brotliCompress);
const deflate = promisify(gzip);

/** Compressed forms of constant bodies, such as the files of the reference page. */
const compressed = new WeakMap<Buffer, Map<string, Promise<Buffer>>>();

function compress(body: Buffer | string, coding: string): Promise<Buffer> {
  if (coding === 'gzip') return deflate(body, { level: 1 });
  return brotli(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });
}

function compressOnce(body: Buffer, coding: string): Promise<Buffer> {
  const forms = compressed.get(body) ?? new Map<string, Promise<Buffer>>();
  compressed.set(body, forms);
  const form = forms.get(coding) ?? compress(body, coding);
  forms.set(coding, form);
  return form;
}

export function compression(): Middleware {
  return async (ctx, next) => {
    await next();
    const coding = codingFor(ctx);
    if (coding !== undefined) await compressBody(ctx, coding);
  };
}

/** The coding of the response, as announced to caches; undefined if it is sent uncompressed. */
function codingFor(ctx: Context): 'br' | 'gzip' | undefined {
  // Also on responses without a body: a 304 must tell a cache the same as the 200 did (RFC 9110 section 15.4.5).
  if (ctx.res.hasHeader('Vary')) ctx.vary(['Accept', 'Accept-Encoding']);
  else ctx.res.setHeader('Vary', 'Accept, Accept-Encoding');
  if ((ctx.req.headers['accept-encoding'] ?? '') === '') return undefined;
  const body: unknown = ctx.body;
  if ((typeof body !== 'string' && !Buffer.isBuffer(body)) || body.length < threshold) return undefined;
  const coding = ctx.acceptsEncodings('br', 'gzip', 'identity');
  return coding === 'br' || coding === 'gzip' ? coding : undefined;
}

async function compressBody(ctx: Context, coding: 'br' | 'gzip'): Promise<void> {
  const body = ctx.body as string | Buffer;
  const { 'content-type': type, etag } = ctx.response.headers;
  ctx.body = await (Buffer.isBuffer(body) ? compressOnce(body, coding) : compress(body, coding));
  ctx.set('Content-Encoding', coding);
  if (typeof type === 'string') ctx.set('Content-Type', type);
  if (typeof etag === 'string') ctx.set('ETag', etag.replace(/"$/, `;${coding}"`));
}
