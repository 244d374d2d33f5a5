/** How a job reads and writes one notation. Everything is encoded before anything of the response is set. */
import type { Context } from 'koa';
import { inCbor, withoutMarkup } from '../pipeline/representation.js';
import { xmlOf } from '../pipeline/xml-writer.js';
import { jsonOf } from './json.js';

export interface WriteOptions {
  headers?: Readonly<Record<string, string>>;
  /** Name of the root element in XML. */
  root?: string;
}

export interface Formatter {
  readonly mediaType: string;
  write(status: number, data: unknown, options?: WriteOptions): void;
}

type Encode = (data: unknown, root: string | undefined) => string | Buffer;

const notations: Readonly<Record<'json' | 'html' | 'xml' | 'cbor', [contentType: string, encode: Encode]>> = {
  json: ['application/json', (data) => jsonOf(data)],
  html: ['application/json', (data) => withoutMarkup(jsonOf(data))],
  xml: [
    'application/xml; charset=utf-8',
    (data, root) => {
      // As JSON has it: dates as texts, and nothing that has no text.
      const value: unknown = JSON.parse(jsonOf(data));
      return xmlOf(value, { root: root ?? (Array.isArray(value) ? 'list' : 'resource') });
    },
  ],
  cbor: ['application/cbor', (data) => inCbor(JSON.parse(jsonOf(data)))],
};

export type Notation = keyof typeof notations;

export function formatter(ctx: Context, notation: Notation): Formatter {
  const [contentType, encode] = notations[notation];
  return {
    mediaType: contentType.split(';')[0] ?? contentType,
    write: (status, data, { headers = {}, root } = {}) => {
      const body = status === 204 ? null : encode(data, root);
      for (const [name, value] of Object.entries(headers)) ctx.set(name, value);
      ctx.status = status;
      if (body !== null) ctx.set('Content-Type', contentType);
      ctx.body = body;
      ctx.status = status;
    },
  };
}
