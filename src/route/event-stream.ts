/** What all streams of server-sent events share (WHATWG HTML, section 9.2). */
import { Readable } from 'node:stream';
import type { Connector } from '../data/connector.js';
import { type ResponseData, StreamBody } from './pipeline/response.js';

/** Milliseconds. */
export interface StreamTimes {
  /** Between two heartbeats, so that proxies and clients can distinguish an idle stream from a broken one. */
  heartbeat: number;
  /** After which a stream ends, so that its client reconnects and authenticates again. */
  lifetime: number;
}

/**
 * Only clients that name the type get a stream: `curl` and generic clients, which accept anything, get a response that
 * ends.
 */
export function wantsStream(accept: string | string[] | undefined): boolean {
  const ranges = (Array.isArray(accept) ? accept.join(',') : (accept ?? '')).split(',');
  return ranges.some(
    (range) => /^\s*text\/event-stream\s*(;|$)/i.test(range) && !/;\s*q=0(\.0*)?\s*(;|$)/i.test(range),
  );
}

/** A stream of the chunks, until the client leaves, the server stops, or `lifetime` is over. */
export function eventStream(
  connector: Connector,
  { lifetime }: StreamTimes,
  chunks: (signal: AbortSignal) => AsyncGenerator<string>,
): ResponseData {
  const open = () => {
    const gone = new AbortController();
    const signal = AbortSignal.any([gone.signal, connector.events.closing, AbortSignal.timeout(lifetime)]);
    // One chunk ahead: what the client does not consume is not read.
    const stream = Readable.from(chunks(signal), { highWaterMark: 1 });
    stream.once('close', () => gone.abort());
    return stream;
  };
  return { result: new StreamBody('text/event-stream', open), metadata: { cacheControl: 'no-store' } };
}
