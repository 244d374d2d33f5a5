/** The forms in which a JSON response can be sent, for every route alike: docs/representations.md. */
import { encode } from 'cbor2';
import type { Context } from 'koa';
import { ApiError } from '../../model/error.js';
import { type Offer, preferred } from './accept.js';
import type { PageWriter } from './page-writer.js';
import { type Answer, json, StreamBody } from './response.js';
import { type XmlForm, xmlOf } from './xml-writer.js';

/** A representation of what a route answers in JSON. */
export interface Representation extends Offer {
  /** Undefined: the JSON as it is. */
  readonly write?: (text: string, ctx: Context, answer: Answer) => string | Buffer;
  /** The full media type of the response. */
  readonly contentType: string;
  /** What its entity tags end in: the same revision has different bytes in another representation. None: no tags. */
  readonly suffix?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The characters that could end a script or begin an element, where a page embeds the JSON. */
const markup: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};

/** The same JSON, which a page may embed. */
export function withoutMarkup(text: string): string {
  return text.replaceAll(/[<>&\u2028\u2029]/g, (one) => markup[one] ?? '');
}

const plainJson: Representation = { mediaType: 'application/json', contentType: json };

function xmlForm(value: unknown): XmlForm {
  return { root: Array.isArray(value) ? 'list' : 'resource' };
}

const inXml = (text: string) => {
  const value: unknown = JSON.parse(text);
  return xmlOf(value, xmlForm(value));
};

const xml: Representation = {
  mediaType: 'application/xml',
  contentType: 'application/xml; charset=utf-8',
  suffix: 'xml',
  write: inXml,
};

export const inCbor = (value: unknown) => Buffer.from(encode(value));

/** In the order in which they are offered. */
export const representations: readonly Representation[] = [
  plainJson,
  xml,
  {
    mediaType: 'application/cbor',
    contentType: 'application/cbor',
    suffix: 'cbor',
    write: (text) => inCbor(JSON.parse(text)),
  },
];

/** Other names by which clients ask for them. */
const others: readonly Representation[] = [
  {
    mediaType: 'application/json',
    parameter: 'escape=html',
    contentType: `${json}; escape=html`,
    suffix: 'html-escaped',
    write: withoutMarkup,
  },
  // An alias of application/xml (RFC 7303, section 9.2).
  { ...xml, mediaType: 'text/xml' },
  // Of a client that names only the form of its errors.
  { ...plainJson, mediaType: 'application/problem+json' },
  { ...xml, mediaType: 'application/problem+xml' },
];

const usual = [...representations, ...others];
const streaming = [...usual, { ...plainJson, mediaType: 'text/event-stream' }];

const pageType = 'text/html; charset=utf-8';

/** The header fields of a page. What it shows depends on more than the resource, so nothing may keep it. */
export function headersOfPage({ headers }: PageWriter): Record<string, string> {
  return { ...headers, 'Content-Type': pageType, 'Cache-Control': 'no-store' };
}

/**
 * The forms of a route's responses; none if none is JSON. A stream is sent by the route itself to those who ask for it.
 */
export function formsOf(
  responses: Readonly<Record<number, { schema?: unknown; stream?: string }>>,
  page: PageWriter | undefined,
): readonly Representation[] {
  const declared = Object.values(responses);
  if (declared.every(({ schema }) => schema === undefined)) return [];
  const forms = declared.some(({ stream }) => stream !== undefined) ? streaming : usual;
  if (page === undefined) return forms;
  const html: Representation = {
    ...{ mediaType: 'text/html', contentType: pageType, headers: headersOfPage(page) },
    write: (_text, ctx, answer) => page.write(ctx, answer),
  };
  return [...forms, html];
}

/** The representation to send; undefined: the JSON as it is. Throws 406 if the client accepts none. */
export function representationFor(
  { req }: Context,
  forms: readonly Representation[],
): Representation | undefined {
  const { accept } = req.headers;
  // What almost every client sends.
  if (accept === undefined || accept === '*/*' || accept === 'application/json') return undefined;
  if (forms.length === 0) return undefined;
  const found = preferred(accept, forms);
  if (found !== undefined) return found.write === undefined ? undefined : found;
  const available = [
    ...new Set(forms.slice(0, representations.length).map(({ mediaType }) => mediaType)),
  ].join(', ');
  const message = `The response is available as ${available}.`;
  throw new ApiError('not_acceptable', message, { errors: [{ parameter: 'Accept', message }] });
}

/** The JSON response in another representation. Any other response, such as a file, has only its own. */
export function represented(
  answer: Answer,
  { write, contentType, suffix, headers: own = {} }: Representation,
  ctx: Context,
): Answer {
  const { headers, body } = answer;
  if (write === undefined || headers['Content-Type'] !== json) return answer;
  if (body === undefined || body instanceof StreamBody) return answer;
  const { ETag: tag, ...rest } = headers;
  return {
    ...answer,
    headers: {
      ...{ ...rest, ...own, 'Content-Type': contentType },
      ...(tag === undefined || suffix === undefined ? {} : { ETag: tag.replace(/"$/, `;${suffix}"`) }),
    },
    body: write(body.toString(), ctx, answer),
  };
}
