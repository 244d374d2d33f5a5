/** What fetch would mend or hide: requests as bytes. Never a 5xx, never a hang, and refusals always in our shape. */
import { expect } from 'chai';
import { Api } from '../../support/conform.js';
import {
  auth,
  converse,
  get,
  only,
  post,
  refusal as refusalAt,
  type Script,
  sound,
} from '../../support/fuzz-socket.js';
import { startServer, type TestServer } from '../../support/server.js';

const path = '/api/v2/instances';

describe('requests as bytes', () => {
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

  describe('with a strange target', () => {
    it('are served only where the path is literally that of a route: dots and double slashes are not mended', async () => {
      const targets = [
        '/api/v2/../v2/instances',
        '/docs/../health',
        '/./health',
        '//health',
        '/health/',
        '/health//',
        '/api//version',
        '///',
        '/..',
        '/docs/..',
        '/docs/./errors',
        '/health%2F',
        '/%68ealth/',
        '/api%2Fv2%2Finstances',
        '/docs/..%2Fhealth',
        '/docs/%2e%2e%2fhealth',
        '/docs/..%5c..%5cpackage.json',
      ];
      for (const target of targets) expect((await refusal(get(target))).code, target).to.equal('not_found');
    });

    it('are 400 where an id cannot be one: %2F, %00, dots, broken escapes and bytes that are no UTF-8', async () => {
      for (const id of [
        'a%2Fb',
        '%00',
        '%2e%2e',
        '..',
        '%E0%A4%A',
        '%zz',
        '%',
        '%c0%af',
        '%ff',
        "'%20or%201=1--",
        '%F0%9F%92%A9',
      ]) {
        expect((await refusal(get(`${path}/${id}`))).code, id).to.equal('invalid_parameter');
        expect((await refusal(get(`${path}/${id}/consoleoutput`))).code, id).to.equal('invalid_parameter');
      }
    });

    it('are taken or refused with 400 where the query is strange', async () => {
      const queries = [
        '%',
        '%zz=1',
        '%E0%A4%A',
        'tag=%00=1',
        'tag=%E0%A4%A=1',
        'limit=%31',
        'limit=1&limit=%',
        '&&&&',
        '=',
        '?',
        '?limit=1',
        'limit=1#fragment',
        'tag=a=%ff',
        '__proto__=1',
        'tag=a%3D\u0001',
      ];
      for (const query of queries) {
        const { status } = await refusal(get(`${path}?${query}`));
        expect(status, query).to.be.oneOf([200, 400]);
      }
      expect((await refusal(get(`${path}?%zz=1`))).code).to.equal('invalid_parameter');
      expect((await refusal(get(`${path}?limit=%31`))).status).to.equal(200);
    });

    it('are served in absolute form, whatever host it names; a broken one is 400', async () => {
      for (const target of [
        'http://x/health',
        'https://elsewhere.example:9/health',
        'http://user:secret@x/health',
        'HTTP://X/health',
      ]) {
        expect((await refusal(get(target))).status, target).to.equal(200);
      }
      const { reply } = await refusal(get(`http://evil.example${path}?limit=1`));
      expect(reply.status).to.equal(200);
      expect(reply.headers.get('link')).to.include(server.url).and.not.to.include('evil');
      for (const target of [
        'http://[bad/',
        'http://a:99999999/',
        'nonsense',
        'foo:bar',
        '*',
        'http:///',
        '?x=1',
        'x/health',
      ]) {
        const { status } = await refusal(get(target));
        expect(status, target).to.be.oneOf([400, 404]);
      }
    });

    it('are answered when they ask for the whole server (OPTIONS *)', async () => {
      const { status } = await refusal(get('*', 'OPTIONS'));
      expect(status).to.be.oneOf([200, 204, 404]);
    });

    it('are 414 above 8 KiB and 431 above what all headers may have', async () => {
      for (const [length, code] of [
        [9000, 'uri_too_long'],
        [20_000, 'headers_too_large'],
        [200_000, 'headers_too_large'],
      ] as const) {
        for (const target of [`/${'x'.repeat(length)}`, `${path}?tag=${'x'.repeat(length)}`]) {
          expect((await refusal(get(target), `target of ${length}`)).code, String(length)).to.equal(code);
        }
      }
    });
  });

  describe('with a strange method or version', () => {
    it('are 405 with Allow where the method is one of HTTP, and 400 where it is none', async () => {
      for (const method of [
        'PATCH',
        'PUT',
        'TRACE',
        'PROPFIND',
        'LOCK',
        'M-SEARCH',
        'SOURCE',
        'QUERY',
        'UNLINK',
      ]) {
        const { code, reply } = await refusal(get('/health', method));
        expect([code, reply.headers.get('allow')], method).to.deep.equal([
          'method_not_allowed',
          'GET, HEAD, OPTIONS',
        ]);
      }
      for (const method of ['get', 'GeT', 'Get', 'BREW', 'G', '', 'GET\t', 'G\u0000ET', 'GET,POST', 'PRI']) {
        expect((await refusal(get('/health', method))).code, method).to.equal('invalid_parameter');
      }
    });

    it('never echo what they got (TRACE), nor open a tunnel (CONNECT)', async () => {
      const trace = await refusal(
        `TRACE /health HTTP/1.1\r\nHost: x\r\nX-Secret: mirror\r\nConnection: close\r\n\r\n`,
      );
      expect(trace.reply.body).not.to.include('mirror');
      for (const target of ['example.com:443', 'x:1', '/health', '127.0.0.1:22']) {
        const { status } = await refusal(`CONNECT ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
        expect(status, target).to.be.oneOf([400, 404, 405]);
      }
    });

    it('go on in HTTP/1.1 when they offer an upgrade', async () => {
      for (const upgrade of ['websocket', 'h2c', 'TLS/1.0', 'nonsense, websocket']) {
        const head = `GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: ${upgrade}\r\n`;
        const { status } = await refusal(
          `${head}HTTP2-Settings: AAMAAABk\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
        );
        expect(status, upgrade).to.equal(200);
      }
    });

    it('are served in HTTP/1.0, after which the connection ends unless it is to be kept', async () => {
      const plain = await converse(server.url, `GET /health HTTP/1.0\r\n\r\n`);
      expect([only(plain, '1.0').status, plain.closed]).to.deep.equal([200, true]);
      const kept = 'GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n';
      expect(
        (await converse(server.url, kept + kept, { answers: 2 })).replies.map(({ status }) => status),
      ).to.deep.equal([200, 200]);
    });

    it('are 400 in any other version, or in none', async () => {
      for (const line of [
        'GET /health HTTP/9.9',
        'GET /health HTTP/1.11',
        'GET /health HTTP/1',
        'GET /health http/1.1',
        'GET  /health  HTTP/1.1 x',
        '/health',
        'HTTP/1.1 200 OK',
      ]) {
        expect((await refusal(`${line}\r\nHost: x\r\n\r\n`)).code, line).to.equal('invalid_parameter');
      }
    });

    it('are answered or 400 without a version, as HTTP/0.9 had it', async () => {
      for (const line of [
        'GET /health',
        'GET /health HTTP/0.9',
        'GET /health HTTP/2.0',
        'GET /nowhere',
        'GET',
        'POST /health',
        'get /health',
      ]) {
        expect((await refusal(`${line}\r\n\r\n`)).status, line).to.be.oneOf([200, 400, 404, 405]);
      }
    });

    it('are 400 in our shape without a Host header, which HTTP/1.1 demands', async () => {
      expect((await refusal('GET /health HTTP/1.1\r\nConnection: close\r\n\r\n')).status).to.equal(400);
    });
  });

  describe('on one connection', () => {
    it('are answered in their order, 50 of them in one packet', async () => {
      const body = '{"nonsense":1}';
      const kinds = [
        [`GET /health HTTP/1.1\r\nHost: x\r\n`, '', 200],
        [`GET ${path}?limit=2 HTTP/1.1\r\nHost: x\r\n${auth}`, '', 200],
        [`GET /nowhere HTTP/1.1\r\nHost: x\r\n`, '', 404],
        [`${post}Content-Length: ${body.length}\r\n`, body, 400],
        [`GET ${path} HTTP/1.1\r\nHost: x\r\n`, '', 401],
      ] as const;
      const sent = Array.from({ length: 50 }, (_, n) => ({
        id: `pipelined-${n}`,
        kind: kinds[n % 5] ?? kinds[0],
      }));
      const bytes = sent
        .map(({ id, kind: [head, tail] }) => `${head}X-Request-Id: ${id}\r\n\r\n${tail}`)
        .join('');
      const { replies } = await converse(server.url, bytes, { answers: 50 });
      expect(replies.map(({ status, headers }) => [status, headers.get('x-request-id')])).to.deep.equal(
        sent.map(({ id, kind }) => [kind[2], id]),
      );
      for (const reply of replies) sound(reply, 'pipelined');
    });

    it('wait for a slow one before them, and what is no request never gets its place', async () => {
      const [instance] = (await server.admin.get<{ metadata: { id: string } }[]>(path)).body;
      const slow = `GET ${path}/${instance?.metadata.id ?? ''}/consoleoutput HTTP/1.1\r\nHost: x\r\n${auth}X-Request-Id: slow\r\n\r\n`;
      const delay = () => server.cloud.program({ verb: 'consoleOutput', delay: 250, times: 1 });
      delay();
      const quick = 'GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: quick\r\n\r\n';
      const inOrder = await converse(server.url, slow + quick, { answers: 2 });
      expect(inOrder.replies.map(({ headers }) => headers.get('x-request-id'))).to.deep.equal([
        'slow',
        'quick',
      ]);
      delay();
      const { replies } = await converse(server.url, `${slow}garbage\r\n\r\n`);
      // Nothing, or the answer of the slow one: but not the refusal of the garbage in its place.
      if (replies.length > 0) expect(replies[0]?.status).to.equal(200);
      server.cloud.clearProgram();
    });
  });
});
