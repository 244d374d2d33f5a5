/** Lengths and header fields as bytes. Never a 5xx, never a hang, and refusals always in our shape. */
import type { Socket } from 'node:net';
import { expect } from 'chai';
import { Api } from '../../support/conform.js';
import {
  auth,
  converse,
  get,
  post,
  refusal as refusalAt,
  type Script,
  sound,
} from '../../support/fuzz-socket.js';
import { startServer, type TestServer } from '../../support/server.js';

const path = '/api/v2/instances';

const withHeader = (lines: string | Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(`GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n`),
    Buffer.from(lines),
    Buffer.from('\r\n\r\n'),
  ]);
const chunked = (body: string) => `${post}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n${body}`;

/** Waits until the server has said something. */
function untilAnswered(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('data', () => resolve()));
}

describe('requests as bytes,', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer();
    await server.running('there');
  });
  afterEach(async () => {
    const reply = await new Api(server.url).get('/health');
    expect(reply.status, 'the server after it').to.equal(200);
  });
  after(() => server.stop());

  const refusal = (script: Script, where?: string) => refusalAt(server.url, script, where);

  describe('with a strange length', () => {
    const create = (lines: string, body = '{}') => `${post}${lines}\r\n\r\n${body}`;

    it('are 400 when Content-Length is none, contradicts itself or Transfer-Encoding', async () => {
      const wrong = [
        'Content-Length: x',
        'Content-Length: -1',
        'Content-Length: +2',
        'Content-Length: 0x2',
        'Content-Length: 2 2',
        'Content-Length: 2,3',
        'Content-Length: 1e1',
        'Content-Length: 99999999999999999999999',
        'Content-Length: 2\r\nContent-Length: 3',
        'Content-Length: 2\r\nContent-Length: 2',
        'Content-Length: 2\r\nTransfer-Encoding: chunked',
        'Transfer-Encoding: chunked\r\nContent-Length: 2',
        'Content-Length: 2\r\ncontent-length: 2',
      ];
      for (const lines of wrong)
        expect((await refusal(create(lines))).code, lines).to.equal('invalid_parameter');
    });

    it('are refused with an unknown or doubled transfer coding, and never read beyond it as a second request', async () => {
      const hidden = '0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: hidden\r\n\r\n';
      for (const coding of [
        'xchunked',
        'gzip',
        'chunked, identity',
        'identity',
        'chunked\r\nTransfer-Encoding: identity',
        'chunked, chunked',
        '\u000bchunked',
        'chunked x',
      ]) {
        const { replies } = await converse(server.url, create(`Transfer-Encoding: ${coding}`, hidden), {
          end: true,
        });
        expect(replies, coding).to.have.length.below(2);
        for (const reply of replies) expect(sound(reply, coding), coding).to.be.a('string');
      }
    });

    it('are 400 when a chunk is garbage, and only one answer comes', async () => {
      const garbage = [
        'ZZ\r\n{}\r\n0\r\n\r\n',
        '-2\r\n{}\r\n0\r\n\r\n',
        '\r\n\r\n',
        ' 2\r\n{}\r\n0\r\n\r\n',
        '0x2\r\n{}\r\n0\r\n\r\n',
        'FFFFFFFFFFFFFFFFFF\r\n{}',
        '2\r\n{}xx0\r\n\r\n',
        '2 {}\r\n0\r\n\r\n',
        '2\n{}\n0\n\n',
        `2;${'x'.repeat(70_000)}\r\n{}\r\n0\r\n\r\n`,
        `${'0'.repeat(70_000)}2\r\n{}\r\n0\r\n\r\n`,
      ];
      for (const chunks of garbage) {
        const { status } = await refusal(chunked(chunks), `chunks ${chunks.slice(0, 40)}`);
        expect(status, chunks.slice(0, 40)).to.be.oneOf([400, 413]);
      }
    });

    it('are read with chunk extensions and trailers, which mean nothing', async () => {
      const body = JSON.stringify(server.instanceBody('chunked'));
      const size = (text: string) => text.length.toString(16);
      const half = body.slice(0, 50);
      const rest = body.slice(50);
      const chunks = `${size(half)};a=1;b="c;d"\r\n${half}\r\n00${size(rest).toUpperCase()};x\r\n${rest}\r\n0;last\r\nX-Trailer: 1\r\nAuthorization: Bearer wrong\r\n\r\n`;
      expect((await refusal(chunked(chunks))).status).to.equal(201);
    });
  });

  describe('with strange headers', () => {
    it('are 400 with control bytes, a space before the colon, no name, or a line that is no header', async () => {
      const wrong = [
        'X: \u0000',
        'X: a\u0000b',
        'X\u0000Y: 1',
        'X: \u0008',
        'X: a\u007f',
        'X : 1',
        ': 1',
        'no header',
        'X\tY: 1',
        'X(Y): 1',
        'X: a\rb',
        '\u0001: 1',
      ];
      for (const lines of wrong)
        expect(
          (await refusal([withHeader(lines)], JSON.stringify(lines))).code,
          JSON.stringify(lines),
        ).to.equal('invalid_parameter');
    });

    it('are served or 400 where RFC 9112 leaves it open: folded lines, bare LF, empty lines before', async () => {
      for (const bytes of [
        withHeader('X: a\r\n b'),
        withHeader('X: a\r\n\tb'),
        'GET /health HTTP/1.1\nHost: x\nConnection: close\n\n',
        `\r\n\r\n${get('/health')}`,
        withHeader('X: a\nY: b'),
      ]) {
        expect((await refusal([bytes], bytes.toString())).status).to.be.oneOf([200, 400]);
      }
    });

    it('are served with bytes above ASCII, empty values and many spaces', async () => {
      for (const lines of [
        Buffer.from('X-A: \xe4\xff\x80', 'latin1'),
        'X-A: \u00fcml\u00e4ut \u{1f4a9}',
        'X-A:',
        `X-A:${' '.repeat(2000)}b`,
        'X-A: \t ',
        'X-Request-Id: \xff',
      ]) {
        expect((await refusal([withHeader(lines)], lines.toString())).status).to.equal(200);
      }
    });

    it('are 431 when they are too large or too many', async () => {
      const many = 'a: b\r\n'.repeat(99_999) + 'a: b';
      for (const [what, lines] of [
        ['70 KB in one', `X: ${'x'.repeat(70_000)}`],
        ['a long name', `${'x'.repeat(70_000)}: 1`],
        ['100 000 headers', many],
        ['2 000 headers', `${'header: value\r\n'.repeat(1999)}a: b`],
      ] as const) {
        expect((await refusal([withHeader(lines)], what)).code, what).to.equal('headers_too_large');
      }
    });

    it('do not smuggle anything in by their number: a credential after a thousand others counts', async () => {
      const filler = Array.from({ length: 1200 }, (_, n) => `a${n}: b`).join('\r\n');
      const { status } = await refusal(
        `GET ${path} HTTP/1.1\r\nHost: x\r\n${filler}\r\n${auth}Connection: close\r\n\r\n`,
      );
      expect(status).to.equal(200);
    });

    it('are told to go on before the body (Expect: 100-continue), and 417 for any other expectation', async () => {
      const body = JSON.stringify(server.instanceBody('expected'));
      const head = `${post}Connection: close\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`;
      const gone = await converse(server.url, [head, untilAnswered, body]);
      expect(gone.replies.map(({ status }) => status)).to.deep.equal([100, 201]);
      for (const expectation of ['200-ok', '99-continue', 'nonsense', '"']) {
        const { code } = await refusal(
          `GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: ${expectation}\r\n\r\n`,
        );
        expect(code, expectation).to.equal('expectation_failed');
      }
      const { reply } = await refusal(
        `GET /health HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nX-Request-Id: demanding\r\nExpect: x\r\n\r\n`,
      );
      expect(reply.headers.get('connection')).to.equal('close');
      expect(reply.headers.get('x-request-id')).to.equal('demanding');
      expect(reply.headers.get('x-content-type-options')).to.equal('nosniff');
      const problem = await converse(
        server.url,
        `GET /health HTTP/1.1\r\nHost: x\r\nAccept: application/problem+json\r\nExpect: x\r\n\r\n`,
      );
      expect(problem.replies[0]?.headers.get('content-type')).to.equal('application/problem+json');
      const line = server.log.entries.find(({ details }) => details['requestId'] === 'demanding');
      expect(line?.details).to.include({ status: 417, method: 'GET', route: null });
    });
  });
});
