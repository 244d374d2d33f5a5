/** The preference `wait=N` (RFC 7240, section 4.3): how long the client would wait for the end of asynchronous work. */

/** Seconds that a request may wait at most. */
export const longestWait = 60;

/** Seconds; 0 without the preference. Unknown and malformed preferences are ignored, as the RFC demands. */
export function waitOf(header: string | string[] | undefined): number {
  if (header === undefined) return 0;
  const text = Array.isArray(header) ? header.join(',') : header;
  const [, seconds] = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:$|[,;])/i.exec(text) ?? [];
  return seconds === undefined ? 0 : Math.min(Number(seconds), longestWait);
}
