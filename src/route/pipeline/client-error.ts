/** Answers what Node's HTTP parser refuses before any route sees it, in the same shape as every other error. */
import type { Duplex } from 'node:stream';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import { uuidv7 } from 'uuidv7';
import { ApiError, type ErrorCode } from '../../model/error.js';
import type { Log } from '../../model/log.js';
import { errorBody } from './error-response.js';

const faults: Readonly<Record<string, [ErrorCode, string]>> = {
  HPE_HEADER_OVERFLOW: ['headers_too_large', 'The request headers are larger than the limit.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request_timeout', 'The request did not arrive in time.'],
};

/** Ends the connection with the refusal of what the parser could not read. */
export function answerClientError(error: Error & { code?: string }, socket: Duplex, log: Log): void {
  // A reset connection takes no more words.
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [code, message] = faults[error.code ?? ''] ?? [
    'invalid_parameter',
    'The request is not well-formed HTTP.',
  ];
  log.debug({ err: error }, 'request refused by the HTTP parser');
  endWith(socket, new ApiError(code, message, { cause: error }));
}

/** Refuses CONNECT, for which Node would close the connection without a word: no tunnels here. */
export function answerConnect(socket: Duplex): void {
  endWith(
    socket,
    new ApiError('method_not_allowed', 'CONNECT is not possible here.', {
      headers: { Allow: 'GET, HEAD, OPTIONS' },
    }),
  );
}

function endWith(socket: Duplex, failure: ApiError): void {
  const requestId = uuidv7();
  const body = JSON.stringify(errorBody(failure, requestId, ''));
  socket.end(
    [
      `HTTP/1.1 ${failure.status} ${STATUS_CODES[failure.status] ?? ''}`,
      'Content-Type: application/json; charset=utf-8',
      `Content-Length: ${Buffer.byteLength(body)}`,
      `X-Request-Id: ${requestId}`,
      `X-Error-Code: ${failure.code}`,
      ...Object.entries(failure.headers).map(([name, value]) => `${name}: ${value}`),
      'Cache-Control: no-store',
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
}

/** Answers an Expect header other than 100-continue, for which Node would send 417 without a body. */
export function answerExpectation(request: IncomingMessage, response: ServerResponse): void {
  const failure = new ApiError('expectation_failed', 'Only "Expect: 100-continue" is possible.');
  const requestId = uuidv7();
  response.writeHead(failure.status, {
    'Content-Type': 'application/json; charset=utf-8',
    'X-Request-Id': requestId,
    'X-Error-Code': failure.code,
    'Cache-Control': 'no-store',
    Connection: 'close',
  });
  response.end(request.method === 'HEAD' ? undefined : JSON.stringify(errorBody(failure, requestId, '')));
}
