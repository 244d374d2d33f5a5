import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { auth, converse, get, only, post, refusal } from '../support/fuzz-socket.js';
import { KeptConnection, type KeptRequest } from '../support/keep-alive.js';
import { adminKey, startServer, type TestServer } from '../support/server.js';

const absent = '0193a5c0-0000-7000-8000-000000000001';

describe('bad requests', () => {
  let server: TestServer;
  const path = '/api/v2/instances';

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  describe('in the path', () => {
    it('answers 400 for an id that is not a UUID, naming the parameter', async () => {
      for (const id of [
        'hello',
        '1',
        `${absent}0`,
        '%00',
        '%F0%9F%8C%B2',
        '%zz',
        '..%2f..',
        '__proto__',
        'constructor',
        absent.replaceAll('-', '_'),
      ]) {
        for (const [address, parameter] of [
          [`${path}/${id}`, 'instanceID'],
          [`${path}/${id}/consoleoutput`, 'instanceID'],
          [`/api/v2/tasks/${id}`, 'taskID'],
          [`/api/v1/organizations/${id}/regions`, 'organizationID'],
          [`/api/v1/organizations/${absent}/regions/${id}/images`, 'regionID'],
        ] as const) {
          const reply = await server.admin.refused('invalid_parameter', 'GET', address);
          expect(reply.body.errors?.[0]?.parameter, address).to.equal(parameter);
        }
      }
    });

    it('answers 404 where nothing is, also for a trailing slash, other capitals and double slashes', async () => {
      for (const address of [
        '/',
        '/nothing',
        '/api',
        '/api/v2',
        '/api/v3/instances',
        `${path}/`,
        '/API/v2/instances',
        '//api/v2/instances',
        '/api//v2/instances',
        `${path}/${absent}/dance`,
        '/openapi.json/',
        '/health/',
      ]) {
        await server.admin.refused('not_found', 'GET', address);
      }
    });

    it('shows an unknown path shortened and as data, whatever it holds', async () => {
      const reply = await server.admin.refused(
        'not_found',
        'GET',
        `/<script>alert(1)</script>${'x'.repeat(5000)}`,
      );
      expect(reply.text.length).to.be.below(700);
      expect(reply.headers.get('content-type')).to.match(/^application\/json/);
      expect(reply.headers.get('x-content-type-options')).to.equal('nosniff');
    });
  });

  describe('in the method', () => {
    it('answers 405 with Allow for a method that the path does not have', async () => {
      const cases: [string, string, string[]][] = [
        ['PATCH', path, ['GET', 'HEAD', 'POST']],
        ['DELETE', path, ['GET', 'HEAD', 'POST']],
        ['POST', `${path}/${absent}`, ['DELETE', 'GET', 'HEAD', 'PUT']],
        ['GET', `${path}/${absent}/start`, ['POST']],
        ['PUT', '/api/v2/tasks', ['GET', 'HEAD']],
        ['DELETE', '/health', ['GET', 'HEAD']],
        ['POST', '/openapi.json', ['GET', 'HEAD']],
      ];
      for (const [method, address, allowed] of cases) {
        const reply = await server.admin.refused('method_not_allowed', method, address);
        const allow = (reply.headers.get('allow') ?? '').split(', ');
        expect(allow, `${method} ${address}`).to.include.members(allowed);
        expect(allow).not.to.include(method);
      }
    });

    it('answers odd methods like any other that a path does not have', async () => {
      for (const method of ['PROPFIND', 'LINK', 'PURGE', 'QUERY', 'SEARCH', 'MKCOL', 'TRACE']) {
        const { status, reply } = await refusal(
          server.url,
          `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
        );
        expect(status, method).to.equal(405);
        expect(reply.headers.get('allow'), method).to.include('GET');
      }
    });
  });

  describe('in the query', () => {
    it('names an unknown parameter and the nearest known one', async () => {
      const cases: [string, string, string][] = [
        [`${path}?limt=3`, 'limt', 'limit'],
        [`${path}?projectid=${absent}`, 'projectid', 'projectID'],
        [`${path}?tags=a=b`, 'tags', 'tag'],
        ['/api/v2/tasks?statuss=failed', 'statuss', 'status'],
        ['/api/v2/projects?Key=x', 'Key', 'key'],
      ];
      for (const [address, parameter, nearest] of cases) {
        const reply = await server.admin.refused('invalid_parameter', 'GET', address);
        expect(reply.body.errors?.[0]?.parameter).to.equal(parameter);
        expect(reply.body.message, address).to.include(`Did you mean "${nearest}"?`);
      }
    });

    it('refuses any parameter on a route that takes none', async () => {
      const { metadata } = await server.running('query-less');
      const calls = [
        ['GET', `${path}/${metadata.id}?x=1`],
        ['POST', '/api/v2/labels?hard=true'],
        ['DELETE', '/api/v2/keys/x?force=true'],
        ['GET', '/health?verbose=1'],
        ['GET', '/docs?theme=dark'],
      ] as const;
      for (const [method, address] of calls) {
        const reply = await server.admin.refused('invalid_parameter', method, address);
        expect(reply.body.message).to.include('No query parameters are accepted here');
      }
      for (const [method, address] of [
        ['POST', `${path}/${metadata.id}/stop?hard=true`],
        ['DELETE', `${path}/${metadata.id}?force=true`],
      ] as const)
        await server.admin.refused('invalid_parameter', method, address);
      expect((await server.settled(metadata.id)).status.powerState).to.equal('Running');
    });

    it('refuses names that mean something to JavaScript', async () => {
      for (const name of [
        '__proto__',
        'constructor',
        'toString',
        'hasOwnProperty',
        '__proto__[limit]',
        'limit[]',
        '$where',
        '',
      ]) {
        await server.admin.refused('invalid_parameter', 'GET', `${path}?${name}=1`);
      }
    });

    it('refuses a limit that is no plain number from 1 to 1000, or is given twice', async () => {
      for (const limit of [
        '0',
        '-1',
        '1001',
        '1e2',
        '',
        '%20',
        '1.0',
        '0x10',
        '1%20',
        'Infinity',
        'NaN',
        '١',
        '9'.repeat(30),
        '3&limit=4',
      ]) {
        const reply = await server.admin.refused('invalid_parameter', 'GET', `${path}?limit=${limit}`);
        expect(reply.body.errors?.[0]?.parameter, limit).to.equal('limit');
      }
      for (const limit of ['1', '1000'])
        expect((await server.admin.get(`${path}?limit=${limit}`)).status).to.equal(200);
    });

    it('refuses filters that are not UUIDs', async () => {
      for (const parameter of ['organizationID', 'projectID', 'regionID', 'networkID']) {
        const reply = await server.admin.refused(
          'invalid_parameter',
          'GET',
          `${path}?${parameter}=${absent}&${parameter}=x`,
        );
        expect(reply.body.errors?.[0]?.parameter).to.equal(parameter);
      }
    });

    it('survives filters that are repeated as often as a request can hold', async () => {
      const lists = [
        [path, 'tag=a='],
        [path, `projectID=${absent}`],
        ['/api/v2/tasks', 'type=instance.stop'],
      ] as const;
      for (const [list, parameter] of lists) {
        for (const bytes of [8000, 15_000]) {
          const query = Array<string>(Math.floor(bytes / (parameter.length + 1))).fill(parameter);
          const reply = await server.admin.get(`${list}?${query.join('&')}`);
          expect(reply.status, `${parameter} up to ${bytes} bytes`).to.be.oneOf([200, 400, 414]);
        }
      }
    });

    it('survives values that are hostile to databases', async () => {
      for (const value of [
        "a='; DROP TABLE instances; --",
        'a=%00',
        'a=\u0000',
        '$where=1',
        'a=%',
        '"=\\',
        'a={"$gt":""}',
        `a=${'%'.repeat(1000)}`,
      ]) {
        const reply = await server.admin.get<unknown[]>(`${path}?tag=${encodeURIComponent(value)}`);
        expect(reply.status, value).to.equal(200);
        expect(reply.body).to.deep.equal([]);
      }
    });

    it('lists many faults at once, but not without end', async () => {
      const query = Array.from({ length: 300 }, (_, index) => `unknown${index}=1`).join('&');
      const reply = await server.admin.refused('invalid_parameter', 'GET', `${path}?${query}`);
      expect(reply.body.errors).to.have.length.within(2, 50);
      expect(reply.body.message).to.match(/and \d+ more/);
    });
  });

  describe('below HTTP’s own rules', () => {
    it('answers 431 in the usual shape when the headers are too large', async () => {
      for (const head of [
        `GET /health HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(20_000)}\r\n\r\n`,
        `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
      ]) {
        const { status, code } = await refusal(server.url, head);
        expect([status, code]).to.deep.equal([431, 'headers_too_large']);
      }
    });

    it('answers 400 in the usual shape when the request is not HTTP', async () => {
      const garbage = [
        'hello\r\n\r\n',
        'GET\r\n\r\n',
        'GET /health HTTP/9.9\r\nHost: x\r\n\r\n',
        'BREW /health HTTP/1.1\r\nHost: x\r\n\r\n',
        'GET /health HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n',
        'GET /health HTTP/1.1\r\nHost: x\r\nNul: \u0000\r\n\r\n',
        'POST /api/v2/instances HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n',
        'POST /api/v2/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
        'POST /api/v2/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
        Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01]),
        Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      ];
      for (const bytes of garbage) {
        const { status, code } = await refusal(server.url, bytes);
        expect([status, code], bytes.toString('latin1')).to.deep.equal([400, 'invalid_parameter']);
      }
    });

    it('answers 400 in the usual shape when HTTP/1.1 comes without a Host', async () => {
      const { status, code } = await refusal(server.url, 'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n');
      expect([status, code]).to.deep.equal([400, 'invalid_parameter']);
    });

    it('answers a broken chunk of a body with 400, and the server lives', async () => {
      const script = `${post}Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n`;
      expect((await refusal(server.url, script)).status).to.equal(400);
      expect((await server.admin.get('/health')).status).to.equal(200);
    });

    it('never answers 5xx for a request target that is no path', async () => {
      const targets = [
        '*',
        'http://[bad/',
        'http://exa%mple.com/',
        'http://a:99999999/',
        'http://a b/',
        'http:///',
        '/\\evil',
        '/?%',
        '/api/v2/instances?%zz=%',
        '/%',
        '/%c0%af',
        '//',
        '///',
        '/;',
        'foo:bar',
        '/#frag',
        'http://user:pass@x/health',
      ];
      for (const method of ['GET', 'OPTIONS', 'POST']) {
        for (const target of targets) {
          const where = `${method} ${target}`;
          const { status } = only(await converse(server.url, get(target, method)), where);
          expect(status, where).to.be.within(200, 499);
        }
      }
    });

    it('uses the Host header for nothing', async () => {
      const head = `GET ${path}?limit=1 HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\n${auth}Connection: close\r\n\r\n`;
      const { status, headers } = only(await converse(server.url, head), 'evil hosts');
      expect(status).to.equal(200);
      expect(headers.get('link')).to.include(server.url);
      expect(JSON.stringify([...headers])).not.to.include('evil');
    });

    it('answers the requests of one connection in their order', async () => {
      const one = (id: string, end: string) =>
        `GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: ${id}\r\n${end}\r\n`;
      const script = one('first', '') + one('second', 'Connection: close\r\n');
      const { replies } = await converse(server.url, script);
      expect(replies.map(({ status, headers }) => [status, headers.get('x-request-id')])).to.deep.equal([
        [200, 'first'],
        [200, 'second'],
      ]);
    });

    const oversized: [string, KeptRequest][] = [
      [
        'too long by its Content-Length',
        {
          method: 'POST',
          path,
          headers: { 'Content-Length': '2000000' },
          body: [Buffer.alloc(2_000_000, ' ')],
        },
      ],
      [
        'too long without a Content-Length',
        { method: 'POST', path, body: Array<string>(40).fill(' '.repeat(65536)) },
      ],
      [
        'too long once unfolded',
        {
          method: 'POST',
          path,
          headers: { 'Content-Encoding': 'gzip' },
          body: [gzipSync(Buffer.alloc(100_000_000, ' '))],
        },
      ],
    ];
    for (const [what, sent] of oversized) {
      it(`after a body ${what} serves the next request of the connection, or says that it closes it`, async () => {
        const connection = new KeptConnection(server.url);
        const headers = {
          Authorization: `Bearer ${adminKey}`,
          'Content-Type': 'application/json',
          ...sent.headers,
        };
        try {
          const reply = await connection.send({ ...sent, headers });
          expect(reply.status).to.equal(413);
          if (!reply.closes)
            expect((await connection.send({ method: 'GET', path: '/health' })).status).to.equal(200);
        } finally {
          connection.close();
        }
      });
    }
  });
});
