/** Responds to what Node's HTTP parser refuses before any route sees it, in the same format as every other error. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { uuidv7 } from 'uuidv7';
import { ApiError, type ErrorCode } from '../../model/error.js';
import { errorBody } from './error-response.js';
import { causeOf, givenRequestId, logRequest, type RequestListeners } from './access-log.js';

const faults: Readonly<Record<string, [ErrorCode, string]>> = {
  HPE_HEADER_OVERFLOW: ['headers_too_large', 'The request headers are larger than the limit.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request_timeout', 'The request did not arrive in time.'],
};

/**
 * Milliseconds that a client gets to close its side of a refused connection: closed at once, it might lose the
 * response.
 */
const linger = 1000;

interface Refusal {
  status: number;
  code: ErrorCode;
  cause: string | undefined;
}

const refusals = new WeakMap<ServerResponse, Refusal>();

/** How a request was refused in addition to its response, because the rest of it was broken or did not arrive. */
export function refusalOf(response: ServerResponse): Refusal | undefined {
  return refusals.get(response);
}

/**
 * Ends the connection with the refusal of what the parser could not read. `begun` is the response to the request if its
 * headers had been read: its log line is then that of the request.
 */
export function answerClientError(
  error: Error & { code?: string },
  socket: Duplex,
  begun: ServerResponse | undefined,
  listeners: RequestListeners,
): void {
  // Nothing can be sent on a reset connection.
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [code, message] = faults[error.code ?? ''] ?? [
    'invalid_parameter',
    'The request is not well-formed HTTP.',
  ];
  const failure = new ApiError(code, message, { cause: error });
  if (begun === undefined) {
    refuse(socket, failure, { requestId: uuidv7() }, listeners);
    return;
  }
  refusals.set(begun, { status: failure.status, code, cause: causeOf(failure) });
  endWith(socket, failure, String(begun.getHeader('X-Request-Id') ?? uuidv7()));
}

/** Refuses CONNECT, for which Node would close the connection without a response: tunnels are not supported. */
export function answerConnect(request: IncomingMessage, socket: Duplex, listeners: RequestListeners): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const failure = new ApiError('method_not_allowed', 'CONNECT is not supported.', {
    headers: { Allow: 'GET, HEAD, OPTIONS' },
  });
  const requestId = givenRequestId(request.headers['x-request-id']) ?? uuidv7();
  refuse(socket, failure, { requestId, method: request.method, target: request.url }, listeners);
}

/** The refusal of a request without a response object, with its log line. Its duration is unknown. */
function refuse(
  socket: Duplex,
  failure: ApiError,
  {
    requestId,
    method,
    target,
  }: { requestId: string; method?: string | undefined; target?: string | undefined },
  listeners: RequestListeners,
): void {
  const bytes = endWith(socket, failure, requestId);
  const summary = { method, route: undefined, status: failure.status, seconds: 0 };
  const { code } = failure;
  logRequest(listeners, summary, {
    requestId,
    target,
    user: undefined,
    bytes,
    code,
    cause: causeOf(failure),
  });
}

/** Sends the refusal, and closes the connection soon after, whether or not the client closes its side. */
function endWith(socket: Duplex, failure: ApiError, requestId: string): number {
  const body = JSON.stringify(errorBody(failure, requestId, ''));
  const bytes = Buffer.byteLength(body);
  const head = [
    `HTTP/1.1 ${failure.status} ${STATUS_CODES[failure.status] ?? ''}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${bytes}`,
    `X-Request-Id: ${requestId}`,
    `X-Error-Code: ${failure.code}`,
    'X-Content-Type-Options: nosniff',
    ...Object.entries(failure.headers).map(([name, value]) => `${name}: ${value}`),
    'Cache-Control: no-store',
    'Connection: close',
  ];
  socket.end([...head, '', body].join('\r\n'), () => {
    const timer = setTimeout(() => socket.destroy(), linger).unref();
    socket.once('close', () => clearTimeout(timer));
  });
  return bytes;
}
