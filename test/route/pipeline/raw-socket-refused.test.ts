/** Connections that end with a refusal, as bytes: whatever the client does then, nothing of them stays. */
import { connect, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { expect } from 'chai';
import { Api } from '../../support/conform.js';
import { eventually } from '../../support/eventually.js';
import { auth, checkedReplies, converse, only, post, sound } from '../../support/fuzz-socket.js';
import { adminKey, startServer, type TestServer } from '../../support/server.js';

const connectLine = 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n';

/** A client that never ends its side, whatever the server does. */
class Stubborn {
  readonly socket: Socket;
  readonly #url: string;
  readonly #bytes: string;
  received = Buffer.alloc(0);
  ended = false;
  closed = false;

  constructor(url: string, bytes: string) {
    [this.#url, this.#bytes] = [url, bytes];
    const { hostname, port } = new URL(url);
    this.socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    this.socket.on('data', (chunk: Buffer) => (this.received = Buffer.concat([this.received, chunk])));
    this.socket.on('end', () => (this.ended = true));
    this.socket.on('close', () => (this.closed = true));
    this.socket.on('error', () => undefined);
    this.socket.on('connect', () => this.socket.write(bytes));
  }

  /** Statuses of its answers, which are held against the document. */
  statuses(): number[] {
    return checkedReplies(this.#url, this.#bytes, this.received).map(({ status }) => status);
  }

  /** Whether the server has let go of the connection, and not only of its own side: it then resets what still comes. */
  isCut(): boolean {
    if (!this.closed && this.ended) this.socket.write('x');
    return this.closed;
  }
}

describe('a refused connection', function () {
  this.timeout(15_000);
  let server: TestServer;

  before(async () => {
    server = await startServer({ flags: { server: { headersTimeout: 1, requestTimeout: 1 } } });
  });
  afterEach(async () => {
    expect((await new Api(server.url).get('/health')).status, 'the server after it').to.equal(200);
  });
  after(() => server.stop());

  const lines = (id: string) =>
    server.log.entries.filter(({ message, details }) => message === 'request' && details['requestId'] === id);

  it('does no harm when it is reset, also while its refusal is on its way', async () => {
    const { hostname, port } = new URL(server.url);
    const broken = ['GARBAGE\r\n\r\n', `${post}Transfer-Encoding: chunked\r\n\r\nZZ\r\n`];
    for (const bytes of [`${connectLine}\r\n`, ...broken]) {
      for (const moment of ['written', 'answered', 'sent more']) {
        await new Promise<void>((resolve) => {
          const socket = connect(Number(port), hostname, () => {
            socket.write(bytes, () => {
              if (moment === 'written') socket.resetAndDestroy();
            });
          });
          socket.on('data', () => {
            if (moment === 'answered') socket.resetAndDestroy();
            else socket.write('more', () => socket.resetAndDestroy());
          });
          socket.on('error', () => undefined);
          socket.on('close', () => resolve());
        });
      }
    }
  });

  it('is cut soon after its answer, though the client never ends its side', async () => {
    const clients = {
      connect: new Stubborn(server.url, `${connectLine}\r\n`),
      garbage: new Stubborn(server.url, 'GARBAGE\r\n\r\n'),
      'too large': new Stubborn(server.url, `GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`),
      'slow head': new Stubborn(server.url, 'GET / HTTP/1.1\r\n'),
      'slow body': new Stubborn(server.url, `${post}Content-Length: 10\r\n\r\n{`),
    };
    for (const [kind, client] of Object.entries(clients)) {
      await eventually(() => client.ended, { what: `the answer to ${kind}` });
      expect(client.received.toString(), kind)
        .to.match(/^HTTP\/1\.1 4\d\d /)
        .and.to.include('nosniff');
      expect(client.statuses(), kind).to.have.length(1);
      await eventually(() => client.isCut(), { what: `the end of ${kind}`, within: 3000 });
    }
  });

  it('gets its answer though more comes than is read', async () => {
    const { replies } = await converse(server.url, [`GET / HTTP/1.1\r\nX: ${'x'.repeat(2_000_000)}`]);
    expect(replies.map(({ status }) => status)).to.deep.equal([431]);
  });

  it('does not keep the server from stopping', async () => {
    const other = await startServer({ flags: { server: { drainLimit: 10 } } });
    const clients = [`${connectLine}\r\n`, 'GARBAGE\r\n\r\n'].map((bytes) => new Stubborn(other.url, bytes));
    for (const client of clients) await eventually(() => client.received.length > 0);
    const began = performance.now();
    await other.stop();
    expect(performance.now() - began).to.be.below(8000);
    for (const client of clients) await eventually(() => client.isCut());
    expect(clients.map((client) => client.statuses())).to.deep.equal([[405], [400]]);
  });

  it('has its line in the log under the id of its answer, and is counted', async () => {
    const cases: [string, Record<string, unknown>][] = [
      ['GARBAGE\r\n\r\n', { method: null, status: 400 }],
      [`GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, { method: null, status: 431 }],
      ['GET / HTTP/1.1\r\n', { method: null, status: 408 }],
      [`${connectLine}X-Request-Id: tunnel\r\n\r\n`, { method: 'CONNECT', status: 405 }],
    ];
    for (const [bytes, expected] of cases) {
      const reply = only(await converse(server.url, bytes), bytes.slice(0, 40));
      sound(reply, bytes);
      const id = reply.headers.get('x-request-id') ?? '';
      expect(lines(id).map(({ level }) => level)).to.deep.equal(['info']);
      const bytesSent = Buffer.byteLength(reply.body);
      expect(lines(id)[0]?.details).to.include({ ...expected, route: null, user: null, bytes: bytesSent });
      if (expected['method'] === null) expect(lines(id)[0]?.details['cause']).to.be.a('string');
    }
    expect(lines('tunnel')).to.have.length(1);
    const { text } = await new Api(server.url).get('/metrics');
    for (const status of [400, 405, 408, 431])
      expect(text).to.match(new RegExp(`count\\{method="any",route="unmatched",status="${status}"\\} \\d`));
  });

  it('has one line when its request had begun: that of the request, with the status of the refusal', async () => {
    const cases: [string, string, number][] = [
      ['slow-body', 'Content-Length: 10\r\n\r\n{', 408],
      ['broken-body', 'Transfer-Encoding: chunked\r\n\r\nZZ\r\n', 400],
    ];
    for (const [id, rest, status] of cases) {
      const reply = only(await converse(server.url, `${post}X-Request-Id: ${id}\r\n${rest}`), id);
      expect([reply.status, reply.headers.get('x-request-id')]).to.deep.equal([status, id]);
      await eventually(() => lines(id).length > 0);
      expect(lines(id)).to.have.length(1);
      expect(lines(id)[0]?.details).to.include({ status, method: 'POST', route: '/api/v2/instances' });
      expect(lines(id)[0]?.details['cause']).to.be.a('string');
    }
  });

  it('shows nothing of what the client sent in the log', async () => {
    await converse(server.url, `GET / HTTP/1.1\r\n${auth}broken line\r\n\r\n`);
    await converse(server.url, `${post}Connection: close\r\nContent-Length: 14\r\n\r\n{"a":secretive`);
    const text = inspect(server.log.entries, { depth: 20, maxStringLength: null, maxArrayLength: null });
    for (const secret of [adminKey, 'secretive']) expect(text.includes(secret), secret).to.be.false;
  });
});
