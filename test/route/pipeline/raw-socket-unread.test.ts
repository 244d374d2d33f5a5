/** Clients that ask and do not read. */
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { NoAuthAuthenticator } from '../../../src/route/pipeline/authenticator.js';
import { RawBody, StreamBody } from '../../../src/route/pipeline/response.js';
import { defineHandler, type Route } from '../../../src/route/route.js';
import { eventually } from '../../support/eventually.js';
import { checkedReplies } from '../../support/fuzz-socket.js';
import { startServer, type TestServer } from '../../support/server.js';

const size = 10 * 2 ** 20;
const sendTimeout = 0.4;

describe('a client that does not read its answer', function () {
  this.timeout(20_000);
  let server: TestServer;
  let quiet: Readable;

  function route(path: string, operationId: string, body: () => RawBody | StreamBody): Route {
    const declaration = {
      operationId,
      summary: 'Much',
      tags: ['test'],
      responses: { 200: { description: 'Much.', mediaType: 'text/plain', stream: 'text/plain' } },
    };
    const requestHandler = defineHandler(declaration, {
      parse: () => undefined,
      execute: () => ({ result: body() }),
    });
    const methods = [
      { methodType: 'GET' as const, authenticator: new NoAuthAuthenticator(), requestHandler },
    ];
    return { route: path, methods };
  }

  const large = Buffer.alloc(size, 'x');
  const piece = 'y'.repeat(2 ** 16);
  const routes = [
    route('/large', 'getLarge', () => new RawBody('text/plain', large)),
    route('/pieces', 'getPieces', () => {
      const pieces = Array.from({ length: size / piece.length }, () => piece);
      return new StreamBody('text/plain', () => Readable.from(pieces));
    }),
    route('/quiet', 'getQuiet', () => {
      quiet = new Readable({ read: () => undefined });
      quiet.push('begun');
      return new StreamBody('text/plain', () => quiet);
    }),
  ];

  before(async () => {
    server = await startServer({ flags: { server: { sendTimeout } }, extraRoutes: routes });
  });
  after(() => server.stop());

  const request = (target: string, id: string) =>
    `GET ${target} HTTP/1.1\r\nHost: x\r\nX-Request-Id: ${id}\r\n\r\n`;
  const ask = (target: string, id: string): Promise<Socket> => {
    const { hostname, port } = new URL(server.url);
    return new Promise((resolve) => {
      const socket = connect(Number(port), hostname, () => {
        socket.write(request(target, id), () => resolve(socket));
      });
      socket.on('error', () => undefined);
    });
  };
  const ended = (id: string) =>
    server.log.entries.some(({ details, message }) => message === 'request' && details['requestId'] === id);

  it('is cut off, be the answer in one piece or in many', async () => {
    for (const target of ['/large', '/pieces']) {
      const socket = await ask(target, target.slice(1));
      await eventually(() => ended(target.slice(1)), { within: 9000, what: `the end of ${target}` });
      socket.destroy();
    }
  });

  it('is served to the end when it only reads slowly', async () => {
    const socket = await ask('/pieces', 'slowly');
    const chunks: Buffer[] = [];
    let received = 0;
    // Longer than the limit in all, but each part well within it.
    const step = 2 ** 19;
    let pause = step;
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      received += chunk.length;
      if (received < pause) return;
      pause += step;
      socket.pause();
      setTimeout(() => socket.resume(), 25);
    });
    const replies = () =>
      checkedReplies(server.url, request('/pieces', 'slowly'), Buffer.concat(chunks)).length;
    await eventually(() => received > size && ended('slowly') && replies() === 1, { within: 9000 });
    socket.destroy();
  });

  it('is not meant where a stream has nothing to send', async () => {
    const socket = await ask('/quiet', 'quiet');
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await eventually(() => text.includes('begun'));
    // Beyond the limit: here time itself is what the test is about.
    await new Promise((resolve) => setTimeout(resolve, sendTimeout * 2500));
    quiet.push('still here');
    await eventually(() => text.includes('still here'));
    socket.destroy();
  });
});
