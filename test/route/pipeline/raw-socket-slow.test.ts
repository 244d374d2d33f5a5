/** Slow and broken clients as bytes: requests that never come to their end. */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { Api } from '../../support/conform.js';
import { converse, only, post, type Script, sound } from '../../support/fuzz-socket.js';
import { startServer, type TestServer } from '../../support/server.js';

const path = '/api/v2/instances';

describe('requests that do not come to their end', function () {
  this.timeout(15_000);
  const limits = { headersTimeout: 1, requestTimeout: 2 };
  /** Node looks for slow connections once a second. */
  const slack = 1900;
  let server: TestServer;

  before(async () => {
    server = await startServer({ flags: { server: limits } });
  });
  afterEach(async () => {
    expect((await new Api(server.url).get('/health')).status, 'the server after it').to.equal(200);
  });
  after(() => server.stop());

  const headers = [
    '',
    'G',
    'GET /health HTTP/1.1\r\n',
    'GET /health HTTP/1.1\r\nHost: x\r\nX-Half: ',
    `${post}Content-Length: 10\r\n`,
  ];
  const bodies = [
    `${post}Content-Length: 10\r\n\r\n`,
    `${post}Content-Length: 10\r\n\r\n{"a":`,
    `${post}Transfer-Encoding: chunked\r\n\r\n5\r\n{"a"`,
    `${post}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n`,
  ];

  /** Writes one more byte from time to time, as the slow loris does, until the server has enough of it. */
  const dribble = (byte: string) => async (socket: Socket) => {
    while (!socket.destroyed && !socket.readableEnded) {
      socket.write(byte);
      await sleep(100);
    }
  };

  async function timedOut(script: Script, limit: number, where: string): Promise<void> {
    const conversation = await converse(server.url, script, { within: 10_000 });
    expect(sound(only(conversation, where), where), where).to.equal('request_timeout');
    expect(conversation.closed, where).to.be.true;
    expect(conversation.time, where).to.be.below(limit * 1000 + slack);
  }

  it('are 408 when their head or body does not come in time, not even a byte now and then, and the connection ends', async () => {
    const head = limits.headersTimeout;
    const whole = limits.requestTimeout;
    await Promise.all([
      ...headers.map((bytes) => timedOut(bytes, head, `head ${JSON.stringify(bytes.slice(0, 40))}`)),
      ...bodies.map((bytes) => timedOut(bytes, whole, `body ${bytes.slice(-30)}`)),
      timedOut(['GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ', dribble('x')], head, 'slow head'),
      timedOut(['GET /health HTTP/1.1\r\nHost: x\r\n', dribble('a: b\r\n')], head, 'slow lines'),
      timedOut([`${post}Content-Length: 100000\r\n\r\n{"a":"`, dribble('x')], whole, 'slow body'),
      timedOut([`${post}Transfer-Encoding: chunked\r\n\r\n`, dribble('1\r\n \r\n')], whole, 'slow chunks'),
    ]);
  });

  it('are dropped at once when the client ends in their midst, with at most one refusal', async () => {
    for (const bytes of [...headers, ...bodies]) {
      const conversation = await converse(server.url, bytes, { end: true, within: 900 });
      expect(conversation.closed, bytes).to.be.true;
      expect(conversation.replies.length, bytes).to.be.below(2);
      for (const reply of conversation.replies) expect(sound(reply, bytes), bytes).to.be.a('string');
    }
    expect((await server.admin.get<unknown[]>(path)).body).to.deep.equal([]);
  });

  it('are dropped without harm when the connection is reset in their midst', async () => {
    const { hostname, port } = new URL(server.url);
    for (const bytes of [
      ...headers,
      ...bodies,
      'GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n',
    ]) {
      await new Promise<void>((resolve, reject) => {
        const socket = connect(Number(port), hostname, () =>
          socket.write(bytes, () => socket.resetAndDestroy()),
        );
        socket.on('error', reject);
        socket.on('close', () => resolve());
      });
    }
  });

  it('do not keep the server from stopping', async () => {
    const other = await startServer({
      flags: { server: { ...limits, headersTimeout: 60, requestTimeout: 60, drainLimit: 0.3 } },
    });
    const open = [...headers, ...bodies].map((bytes) => converse(other.url, bytes, { within: 9000 }));
    const { replies } = await converse(other.url, 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n', { answers: 1 });
    expect(replies).to.have.length(1);
    const began = performance.now();
    await other.stop();
    expect(performance.now() - began).to.be.below(4000);
    for (const { closed } of await Promise.all(open)) expect(closed).to.be.true;
  });
});
