/** A body that says nothing, on routes that take none: proxies and clients announce such bodies by themselves. */
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { converse, only, refusal } from '../support/fuzz-socket.js';
import { KeptConnection } from '../support/keep-alive.js';
import { adminKey, startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/instances';

describe('a request that announces a body and has no content', () => {
  let server: TestServer;
  let id: string;
  before(async () => {
    server = await startServer();
    ({ id } = (await server.running('no-content')).metadata);
  });
  after(() => server.stop());

  const head = (method: string, target: string, fields: readonly string[]) =>
    [`${method} ${target} HTTP/1.1`, 'Host: x', `Authorization: Bearer ${adminKey}`, ...fields, '', ''].join(
      '\r\n',
    );
  const chunked = (...chunks: (string | Buffer)[]) =>
    Buffer.concat([
      ...chunks.flatMap((chunk) => [
        Buffer.from(`${Buffer.byteLength(chunk).toString(16)}\r\n`),
        Buffer.from(chunk),
        Buffer.from('\r\n'),
      ]),
      Buffer.from('0\r\n\r\n'),
    ]);
  const request = (method: string, target: string, fields: readonly string[], body: string | Buffer = '') =>
    Buffer.concat([Buffer.from(head(method, target, fields)), Buffer.from(body)]);
  const withLength = (body: string | Buffer, ...fields: string[]): [string[], string | Buffer] => [
    [`Content-Length: ${Buffer.byteLength(body)}`, ...fields],
    body,
  ];
  const inChunks = (chunks: (string | Buffer)[], ...fields: string[]): [string[], string | Buffer] => [
    ['Transfer-Encoding: chunked', ...fields],
    chunked(...chunks),
  ];
  const json = 'Content-Type: application/json';

  const empty: [string, [string[], string | Buffer]][] = [
    ['an empty chunked body', inChunks([])],
    ['an empty chunked body of a media type', inChunks([], 'Content-Type: text/plain')],
    ['a length of 0 and a media type', withLength('', 'Content-Type: application/x-www-form-urlencoded')],
    ['a length of 00', [['Content-Length: 00'], '']],
    ['a content coding without bytes', inChunks([], json, 'Content-Encoding: gzip')],
    ['an unknown content coding without bytes', inChunks([], 'Content-Encoding: zstd')],
    ['Expect: 100-continue and no bytes', inChunks([], 'Expect: 100-continue')],
    ['blanks', withLength(' \r\n\t ')],
    ['a byte order mark', withLength('\ufeff')],
    ['an empty object', withLength('{}', json)],
    ['an empty object in chunks', inChunks(['{', ' ', '}'], json)],
    ['an empty object as plain text', withLength('{ }\n', 'Content-Type: text/plain;charset=UTF-8')],
    ['an empty object without a media type', withLength('{}')],
    ['an empty object behind a byte order mark', withLength('\ufeff{}', json)],
    ['an empty object as gzip', withLength(gzipSync('{}'), json, 'Content-Encoding: gzip')],
    ['nothing as gzip', inChunks([gzipSync('')], json, 'Content-Encoding: gzip')],
    ['an empty object as deflate', withLength(deflateSync('{}'), 'Content-Encoding: deflate')],
    ['an empty object as Brotli', withLength(brotliCompressSync('{}'), 'Content-Encoding: br')],
    ['null', withLength('null', json)],
  ];
  for (const [what, [fields, body]] of empty) {
    it(`is answered as one without: ${what}`, async () => {
      for (const [method, target, status] of [
        ['GET', `${path}/${id}`, 200],
        ['GET', path, 200],
        ['GET', '/health', 200],
        ['POST', `${path}/${id}/start`, 409],
        ['DELETE', `${path}/0193a5c0-0000-7000-8000-000000000001`, 404],
      ] as const) {
        const talk = await converse(server.url, [request(method, target, fields, body)], { answers: 1 });
        const reply = only(talk, `${method} ${target}`);
        expect(reply.status, `${method} ${target}: ${reply.body}`).to.equal(status);
        if (status === 409) expect(reply.headers.get('x-error-code')).to.equal('power_state_conflict');
      }
    });
  }

  it('is answered as one without also when it is a HEAD', async () => {
    const fields = ['Transfer-Encoding: chunked'];
    const script = [request('HEAD', `${path}/${id}`, fields, chunked())];
    expect(only(await converse(server.url, script, { answers: 1, head: true }), 'HEAD').status).to.equal(200);
  });

  it('does what it asks for', async () => {
    const { metadata } = await server.running('no-content-verbs');
    for (const [verb, state] of [
      ['stop', 'Stopped'],
      ['start', 'Running'],
    ] as const) {
      const [fields, body] = verb === 'stop' ? inChunks([]) : withLength('{}', json);
      const script = [request('POST', `${path}/${metadata.id}/${verb}`, fields, body)];
      const reply = only(await converse(server.url, script, { answers: 1 }), verb);
      expect(reply.status, reply.body).to.equal(202);
      await server.settled(metadata.id, ({ status }) => status.powerState === state);
    }
  });

  it('keeps its place among the requests of a connection, also when the body is refused', async () => {
    // What comes behind chunks cannot be held against the document, unless it is no refusal.
    const asked: [string, string[], string | Buffer, number][] = [
      [path, ...withLength('{}', json), 200],
      [`${path}/${id}`, ...withLength('{"a":1}', json), 400],
      [path, ...withLength(`{"force":${' '.repeat(5000)}true}`, json), 400],
      [`${path}/${id}`, ...inChunks([]), 200],
      [path, ...inChunks(['{', '}'], json), 200],
      ['/health', [], '', 200],
    ];
    const script = Buffer.concat(
      asked.map(([target, fields, body], index) =>
        request('GET', target, [`X-Request-Id: nth-${index}`, ...fields], body),
      ),
    );
    const { replies } = await converse(server.url, [script], { answers: asked.length });
    expect(replies.map(({ status, headers }) => [headers.get('x-request-id'), status])).to.deep.equal(
      asked.map(([, , , status], index) => [`nth-${index}`, status]),
    );
  });

  it('leaves its connection to the next request, though the body is refused before its end', async () => {
    const connection = new KeptConnection(server.url);
    const headers = { Authorization: `Bearer ${adminKey}` };
    try {
      for (let round = 0; round < 3; round += 1) {
        const body = ['{"force":', ' '.repeat(100_000), 'true}'];
        const refused = await connection.send({ method: 'POST', path: `${path}/${id}/stop`, headers, body });
        const next = await connection.send({ method: 'GET', path: `${path}/${id}`, headers });
        expect([refused, next]).to.deep.equal([
          { status: 400, closes: false },
          { status: 200, closes: false },
        ]);
      }
    } finally {
      connection.close();
    }
  });

  it('is refused when there is content after all, with what would be accepted', async () => {
    const full: [string, [string[], string | Buffer]][] = [
      ['an object with a member', withLength('{"force":true}', json)],
      ['the same in chunks', inChunks(['{"force"', ':true}'], json)],
      ['the same as gzip', withLength(gzipSync('{"force":true}'), json, 'Content-Encoding: gzip')],
      ['an array', withLength('[]', json)],
      ['a text', withLength('""', json)],
      ['a number', withLength('0', json)],
      ['a form', withLength('a=1', 'Content-Type: application/x-www-form-urlencoded')],
      ['two objects', withLength('{}{}', json)],
      ['half an object', withLength('{', json)],
      ['bytes that are no text', withLength(Buffer.from([0xff, 0xfe]))],
      ['what is no gzip', withLength('{}', 'Content-Encoding: gzip')],
      ['more blanks than anybody sends', inChunks([' '.repeat(800), ' '.repeat(800)])],
      ['a megabyte in gzip', withLength(gzipSync(Buffer.alloc(2 ** 20, ' ')), 'Content-Encoding: gzip')],
      ['a length beyond all use', withLength('x'.repeat(200_000))],
    ];
    for (const [what, [fields, body]] of full) {
      for (const [method, target] of [
        ['GET', path],
        ['POST', `${path}/${id}/stop`],
        ['DELETE', `${path}/${id}`],
      ] as const) {
        const refused = await refusal(server.url, [request(method, target, fields, body)], what);
        expect([refused.status, refused.code], `${method} with ${what}`).to.deep.equal([400, 'invalid_body']);
        expect(refused.reply.body).to.include('empty JSON object');
      }
    }
    expect((await server.settled(id)).status.powerState).to.equal('Running');
  });

  it('is told what it lacks where a body is needed, whatever its media type', async () => {
    for (const [fields, body] of [
      inChunks([]),
      inChunks([], 'Content-Type: text/plain'),
      inChunks([], json),
      withLength('', json),
    ]) {
      const { status, code } = await refusal(server.url, [request('POST', path, fields, body)]);
      expect([status, code]).to.deep.equal([400, 'malformed_json']);
    }
  });
});
