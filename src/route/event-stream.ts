/** What all streams of server-sent events share (WHATWG HTML, section 9.2). */

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
