/**
 * One request over node:http: the header fields exactly as given, the response's bytes exactly as sent, and checked
 * against the document.
 */
import { knownConformance } from './conform.js';
import { type Agent, type IncomingHttpHeaders, request } from 'node:http';

export interface WireRequest {
  method?: string;
  headers?: Record<string, string | string[]>;
  /** Several parts are written one after the other; without a Content-Length header they are sent chunked. */
  body?: string | Buffer | readonly (string | Buffer)[] | undefined;
  agent?: Agent;
  /** Milliseconds until a missing response fails. */
  within?: number;
  /** Disconnects before there is a response. */
  signal?: AbortSignal;
  /** Leaves it to the caller to check the response against the document. */
  unchecked?: boolean;
}

export interface WireReply {
  status: number;
  headers: IncomingHttpHeaders;
  bytes: Buffer;
}

/** Rejects if the connection breaks, no complete response arrives in time, or the document has no such response. */
export async function wire(url: string, options: WireRequest = {}): Promise<WireReply> {
  const reply = await exchange(url, options);
  const { method = 'GET', unchecked = false } = options;
  if (unchecked) return reply;
  const [, origin = '', target = ''] = /^(http:\/\/[^/]+)(.*)$/s.exec(url) ?? [];
  const fields = Object.entries(reply.headers).filter(
    (field): field is [string, string] => typeof field[1] === 'string',
  );
  knownConformance(origin).checkBytes(method, target, reply.status, new Headers(fields), reply.bytes);
  return reply;
}

function exchange(url: string, options: WireRequest): Promise<WireReply> {
  const { method = 'GET', headers = {}, body, agent, within = 9000, signal } = options;
  return new Promise((resolve, reject) => {
    const inParts = typeof body === 'object' && !Buffer.isBuffer(body);
    const length = inParts || body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) };
    const target = /^(http:\/\/[^/]+)(.*)$/s.exec(url);
    const outgoing = request(
      target?.[1] ?? url,
      {
        method,
        // Unchanged: a URL object would normalise it.
        path: target?.[2] === '' ? '/' : (target?.[2] ?? '/'),
        headers: { ...length, ...headers },
        ...(agent === undefined ? { agent: false } : { agent }),
        ...(signal === undefined ? {} : { signal }),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          clearTimeout(timer);
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            bytes: Buffer.concat(chunks),
          });
        });
      },
    );
    const timer = setTimeout(
      () => outgoing.destroy(new Error(`${method} ${url}: no whole answer within ${within} ms`)),
      within,
    );
    outgoing.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    if (inParts) for (const part of body) outgoing.write(part);
    outgoing.end(inParts ? undefined : body);
  });
}
