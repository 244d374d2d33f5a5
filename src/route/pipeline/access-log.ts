/** What is recorded at the end of a request, whatever responded to it: one log line and one observation. */
import type { Log } from '../../model/log.js';

/** What is known of a request at its end. */
export interface RequestSummary {
  /** Undefined if the request could not be read. */
  method: string | undefined;
  /** The route's pattern; undefined when none matched. */
  route: string | undefined;
  status: number;
  seconds: number;
}

/** Called at the end of every request. */
export interface RequestListeners {
  log: Log;
  observe: (summary: RequestSummary) => void;
}

interface Details {
  requestId: string;
  /** The request target as received. */
  target: string | undefined;
  user: string | undefined;
  bytes: number | undefined;
  traceId?: string | undefined;
  /** The error code of a refusal. */
  code?: string | undefined;
  /** The reason, if the client must not learn it. */
  reason?: string | undefined;
  cause?: string | undefined;
}

const requestIdPattern = /^[A-Za-z0-9._~-]{1,128}$/;

/** The client's own id for the request, if it is well formed. */
export function givenRequestId(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && requestIdPattern.test(header) ? header : undefined;
}

/** The status of a request whose client disconnected before there was a response, as in nginx. */
export const clientClosed = 499;

export function logRequest(
  { log, observe }: RequestListeners,
  summary: RequestSummary,
  details: Details,
): void {
  const { method, route, status, seconds } = summary;
  const { target } = details;
  observe(summary);
  const line: Record<string, unknown> = {
    requestId: details.requestId,
    method: method ?? null,
    route: route ?? null,
    path: target === undefined ? null : pathForLog(target),
    status,
    ms: Math.round(seconds * 10_000) / 10,
    user: details.user ?? null,
    bytes: details.bytes,
  };
  if (details.traceId !== undefined) line['traceId'] = details.traceId;
  if (details.code !== undefined) line['code'] = details.code;
  if (details.reason !== undefined) line['reason'] = details.reason;
  if (details.cause !== undefined) line['cause'] = details.cause;
  log.info(line, 'request');
}

/** Maximum number of path characters in a line. */
const longestPath = 256;

/** Paths like the API's own, which are logged unchanged: short words, and ids. */
const harmless = /^(?:\/(?!copse_)(?:[a-z0-9._~-]{0,31}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))+$/i;

/**
 * The path for the log: without the query, without possible secrets (anything like a key, or after "="), in printable
 * ASCII, and not long.
 */
export function pathForLog(target: string): string {
  const end = target.indexOf('?');
  const path = end === -1 ? target : target.slice(0, end);
  if (path.length <= longestPath && harmless.test(path)) return path;
  // An absolute target (RFC 9112 section 3.2.2) may contain a password before its host.
  const local = path.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, '');
  const shown = local
    .slice(0, 2 * longestPath)
    .split('/')
    .map((segment) => (segment === '' || harmless.test(`/${segment}`) ? segment : veiled(segment)))
    .join('/')
    .replaceAll(/[^\x21-\x7e]/g, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return shown.length > longestPath ? `${shown.slice(0, longestPath)}...` : shown;
}

/** A segment, with anything that may be a secret masked. */
function veiled(segment: string): string {
  const [name = ''] = segment.split(/=|%3d|:|%3a|@|%40/i, 1);
  if (name.length > 31 || /copse_/i.test(name)) return '***';
  return name === segment ? segment : `${name}***`;
}

/** The cause of a refusal, for the log: the chain of causes as text. */
export function causeOf(error: Error): string | undefined {
  if (error.cause === undefined) return undefined;
  const texts: string[] = [];
  const seen = new Set<unknown>([error]);
  let at: unknown = error.cause;
  while (at instanceof Error && !seen.has(at)) {
    texts.push(`${at.name}: ${wordsOf(at)}`);
    seen.add(at);
    at = at.cause;
  }
  // Some quote what they refuse, which may be as long as a header.
  return texts.length === 0 ? undefined : texts.join(': ').slice(0, 500);
}

/** A JSON parser quotes what it could not read, which may be a secret of the client. */
function wordsOf(error: Error): string {
  if (!(error instanceof SyntaxError)) return error.message;
  return /at position \d+/.exec(error.message)?.[0] ?? 'unreadable';
}
