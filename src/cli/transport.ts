/** Requests with node:http: the first call of fetch costs 100 ms of CPU, more than the whole command. */
import type { IncomingMessage, RequestOptions } from 'node:http';
import type { Reply } from '../client/client.js';

export async function send(url: URL, init: RequestInit): Promise<Reply> {
  const { request } = await (url.protocol === 'https:' ? import('node:https') : import('node:http'));
  const { method = 'GET', headers, body, signal } = init;
  const options = { method, headers: headers as RequestOptions['headers'], ...(signal && { signal }) };
  return new Promise((resolve, reject) => {
    const outgoing = request(url, options as RequestOptions, (response) =>
      resolve(replyOf(response, signal)),
    );
    outgoing.on('error', (error) => reject(failure(error, signal)));
    outgoing.end(body as string | undefined);
  });
}

/** As fetch reports them: the reason of the signal, otherwise a TypeError with the cause. */
function failure(error: unknown, signal: AbortSignal | null | undefined): Error {
  if (signal?.aborted === true) return signal.reason as Error;
  return new TypeError('fetch failed', { cause: error });
}

function replyOf(response: IncomingMessage, signal: AbortSignal | null | undefined): Reply {
  const status = response.statusCode ?? 0;
  return {
    status,
    ok: status >= 200 && status < 300,
    headers: {
      get: (name) => fieldOf(response, name),
      entries: () => Object.keys(response.headers).map((name) => [name, fieldOf(response, name) ?? '']),
    },
    body: response,
    text: async () => {
      try {
        response.setEncoding('utf8');
        let text = '';
        for await (const chunk of response) text += String(chunk);
        return text;
      } catch (error) {
        throw failure(error, signal);
      }
    },
  };
}

function fieldOf({ headers }: IncomingMessage, name: string): string | null {
  const value = headers[name.toLowerCase()];
  return value === undefined ? null : [value].flat().join(', ');
}
