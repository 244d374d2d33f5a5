/** What operators learn of a request at its end, whoever answered it: one log line and one observation. */
import type { Log } from '../../model/log.js';

/** What is known of a request at its end. */
export interface RequestSummary {
  /** Undefined where the request could not be read. */
  method: string | undefined;
  /** The route's pattern; undefined when none matched. */
  route: string | undefined;
  status: number;
  seconds: number;
}

/** Who is told of every request. */
export interface RequestListeners {
  log: Log;
  observe: (summary: RequestSummary) => void;
}

interface Details {
  requestId: string;
  user: string | undefined;
  bytes: number | undefined;
  traceId?: string | undefined;
  cause?: string | undefined;
}

const requestIdPattern = /^[A-Za-z0-9._~-]{1,128}$/;

/** The client's own id for the request, if it is well formed. */
export function givenRequestId(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && requestIdPattern.test(header) ? header : undefined;
}

/** The status of a request whose client left before there was an answer: no answer at all, as nginx has it. */
export const clientClosed = 499;

export function tell({ log, observe }: RequestListeners, summary: RequestSummary, details: Details): void {
  const { method, route, status, seconds } = summary;
  observe(summary);
  const line: Record<string, unknown> = {
    requestId: details.requestId,
    method: method ?? null,
    route: route ?? null,
    status,
    ms: Math.round(seconds * 10_000) / 10,
    user: details.user ?? null,
    bytes: details.bytes,
  };
  if (details.traceId !== undefined) line['traceId'] = details.traceId;
  if (details.cause !== undefined) line['cause'] = details.cause;
  log.info(line, 'request');
}

/** What lay behind a refusal, for the log: the chain of causes, in words. */
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
  // Some name what they refuse, which may be as long as a header.
  return texts.length === 0 ? undefined : texts.join(': ').slice(0, 500);
}

/** A parser of JSON quotes what it could not read, which may be a secret of the client's. */
function wordsOf(error: Error): string {
  if (!(error instanceof SyntaxError)) return error.message;
  return /at position \d+/.exec(error.message)?.[0] ?? 'unreadable';
}
