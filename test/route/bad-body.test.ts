import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import type { CallOptions } from '../support/conform.js';
import { startServer, type TestServer } from '../support/server.js';

const json = { 'Content-Type': 'application/json' };
const mebibyte = 1024 * 1024;

describe('a bad body', () => {
  let server: TestServer;
  const path = '/api/v2/instances';

  const create = (options: CallOptions) => server.admin.call('POST', path, options);

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  const malformed: [string, string | Uint8Array<ArrayBuffer>][] = [
    ['nothing', ''],
    ['blanks', '   \n'],
    ['half an object', '{"metadata":{'],
    ['single quotes', "{'metadata':{}}"],
    ['a trailing comma', '{"metadata":{},}'],
    ['two values', '{}{}'],
    ['a bare word', 'undefined'],
    ['a number', '42'],
    ['a text', '"hello"'],
    ['true', 'true'],
    ['null', 'null'],
    ['YAML', 'metadata: {}'],
    ['a form', 'metadata=1&spec=2'],
    ['a byte order mark', '\ufeff'],
    ['broken UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
    ['NUL bytes', '\u0000\u0000'],
  ];
  for (const [what, raw] of malformed) {
    it(`refuses ${what} with 400 malformed_json`, async () => {
      await server.admin.refused('malformed_json', 'POST', path, { raw, headers: json });
    });
  }

  it('refuses broken UTF-8 within a text instead of storing a replacement for it', async () => {
    const text = JSON.stringify(server.instanceBody('broken-text', { metadata: { description: 'X' } }));
    const raw = Buffer.from(text);
    raw[raw.indexOf('"X"') + 1] = 0xff;
    const reply = await create({ raw, headers: json });
    expect(reply.status, reply.text).to.equal(400);
  });

  it('refuses an array', async () => {
    const reply = await create({ body: [server.instanceBody('listed')] });
    expect(reply.status).to.equal(400);
  });

  it('refuses arrays nested half a million deep', async () => {
    const reply = await create({ raw: '['.repeat(500_000) + ']'.repeat(500_000), headers: json });
    expect(reply.status).to.equal(400);
    const inside = create({
      raw: `{"metadata":${'['.repeat(500_000)}${']'.repeat(500_000)}}`,
      headers: json,
    });
    expect((await inside).status).to.equal(400);
  });

  it('refuses no body at all', async () => {
    await server.admin.refused('malformed_json', 'POST', path);
    await server.admin.refused(
      'malformed_json',
      'PUT',
      `${path}/${(await server.createInstance('bodyless')).metadata.id}`,
    );
  });

  it('refuses other media types with 415', async () => {
    const raw = JSON.stringify(server.instanceBody('typed'));
    for (const type of [
      'text/plain',
      'image/svg+xml',
      'application/msgpack',
      'multipart/form-data; boundary=x',
      'application/jsonp',
      'garbage',
    ]) {
      await server.admin.refused('unsupported_media_type', 'POST', path, {
        raw,
        headers: { 'Content-Type': type },
      });
    }
  });

  it('refuses a body without a media type with 415', async () => {
    const raw = new TextEncoder().encode(JSON.stringify(server.instanceBody('untyped')));
    await server.admin.refused('unsupported_media_type', 'POST', path, { raw });
  });

  it('takes the media type with a charset of UTF-8 in any case, and no other charset', async () => {
    for (const [index, type] of [
      'application/json; charset=utf-8',
      'APPLICATION/JSON;charset="UTF-8"',
    ].entries()) {
      const raw = JSON.stringify(server.instanceBody(`charset-${index}`));
      expect((await create({ raw, headers: { 'Content-Type': type } })).status, type).to.equal(201);
    }
    for (const charset of ['utf-16', 'iso-8859-1', 'nonsense']) {
      const raw = JSON.stringify(server.instanceBody('charset-other'));
      const headers = { 'Content-Type': `application/json; charset=${charset}` };
      await server.admin.refused('unsupported_media_type', 'POST', path, { raw, headers });
    }
  });

  it('refuses a content coding that it cannot undo, and a body that is not what its coding says', async () => {
    const raw = JSON.stringify(server.instanceBody('coded'));
    const { headers } = await server.admin.refused('unsupported_media_type', 'POST', path, {
      raw,
      headers: { ...json, 'Content-Encoding': 'zstd' },
    });
    expect(headers.get('accept-encoding')).to.equal('gzip, deflate, br');
    await server.admin.refused('malformed_json', 'POST', path, {
      raw,
      headers: { ...json, 'Content-Encoding': 'gzip' },
    });
  });

  it('takes a gzip body, and refuses one that unfolds beyond the limit with 413', async () => {
    const headers = { ...json, 'Content-Encoding': 'gzip' };
    expect(
      (await create({ raw: gzipSync(JSON.stringify(server.instanceBody('zipped'))), headers })).status,
    ).to.equal(201);
    const bomb = gzipSync(Buffer.alloc(200 * mebibyte, ' '));
    expect(bomb.length).to.be.below(mebibyte);
    await server.admin.refused('too_large', 'POST', path, { raw: bomb, headers });
  });

  it('takes a body up to 1 MiB and refuses a larger one with 413', async () => {
    const small = JSON.stringify(server.instanceBody('big'));
    const exact = small + ' '.repeat(mebibyte - small.length);
    expect((await create({ raw: exact, headers: json })).status).to.equal(201);
    await server.admin.refused('too_large', 'POST', path, { raw: `${exact} `, headers: json });
  });

  it('refuses a body over 1 MiB that does not say its length', async () => {
    const chunk = new TextEncoder().encode(' '.repeat(65536));
    let sent = 0;
    const stream = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        sent += 1;
        if (sent > 40) controller.close();
        else controller.enqueue(chunk);
      },
    });
    await server.admin.refused('too_large', 'POST', path, { raw: stream, headers: json });
  });

  it('refuses a body where none is taken', async () => {
    const { metadata } = await server.running('no-body');
    const calls: [string, string][] = [
      ['POST', `${path}/${metadata.id}/stop`],
      ['POST', `${path}/${metadata.id}/reboot`],
      ['DELETE', `${path}/${metadata.id}`],
    ];
    for (const [method, address] of calls) {
      const reply = await server.admin.refused('invalid_body', method, address, { body: { force: true } });
      expect(reply.body.message).to.include('No body');
    }
    expect((await server.settled(metadata.id)).status.powerState).to.equal('Running');
  });
});
