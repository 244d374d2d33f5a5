/** Content codings: what is negotiated, and what becomes of entity tags. */
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import { adminKey, startServer, type TestServer } from '../../support/server.js';
import { wire, type WireReply } from '../../support/fuzz-http.js';
import type { Instance } from '../../../src/model/instance.js';

const large = '/openapi.json';
const small = '/api/version';

function unfolded({ headers, bytes }: WireReply): string {
  switch (headers['content-encoding']) {
    case 'br':
      return brotliDecompressSync(bytes).toString();
    case 'gzip':
      return gunzipSync(bytes).toString();
    case undefined:
      return bytes.toString();
    default:
      throw new Error(`unexpected coding ${headers['content-encoding'] ?? ''}`);
  }
}

describe('compression', () => {
  let server: TestServer;
  /** An instance whose text is worth compressing. */
  let path: string;
  const read = (target: string, accepted?: string, headers: Record<string, string> = {}, method = 'GET') =>
    wire(server.url + target, {
      method,
      headers: {
        Authorization: `Bearer ${adminKey}`,
        ...(accepted === undefined ? {} : { 'Accept-Encoding': accepted }),
        ...headers,
      },
    });

  before(async () => {
    server = await startServer();
    const { metadata } = await server.running('compressed', {
      metadata: { description: 'long '.repeat(200) },
    });
    for (let n = 0; n < 3; n += 1) await server.running(`beside-${n}`);
    path = `/api/v2/instances/${metadata.id}`;
  });
  after(() => server.stop());

  it('gives each client the coding that it prefers of those that there are', async () => {
    const wishes: [string, string | undefined][] = [
      ['br', 'br'],
      ['gzip', 'gzip'],
      ['gzip, deflate', 'gzip'],
      ['br;q=0.5, gzip;q=0.9', 'gzip'],
      ['gzip;q=0.5, br;q=0.9', 'br'],
      ['br;q=0, gzip', 'gzip'],
      ['*', 'br'],
      ['identity', undefined],
      ['identity, br;q=0, gzip;q=0', undefined],
      ['br;q=0.2, identity', undefined],
      ['zstd, compress', undefined],
      ['', undefined],
    ];
    const plain = await read(large);
    expect(plain.headers['content-encoding']).to.be.undefined;
    for (const [accepted, coding] of wishes) {
      const reply = await read(large, accepted);
      expect([reply.status, reply.headers['content-encoding']], accepted).to.deep.equal([200, coding]);
      expect(unfolded(reply), accepted).to.equal(plain.bytes.toString());
      expect(reply.headers['content-type'], accepted).to.equal(plain.headers['content-type']);
      expect(Number(reply.headers['content-length']), accepted).to.equal(reply.bytes.length);
      if (coding !== undefined) expect(reply.bytes.length, accepted).to.be.below(plain.bytes.length / 3);
    }
  });

  it('compresses every kind of large answer: a page, an instance, metrics, a page of HTML and a script', async () => {
    for (const target of [
      '/api/v2/instances',
      path,
      '/docs/errors',
      '/docs/swagger-ui-bundle.js',
      '/docs/swagger-ui.css',
    ]) {
      const plain = await read(target);
      for (const coding of ['br', 'gzip']) {
        // Twice, because what never changes is kept in its compressed form.
        for (let round = 0; round < 2; round += 1) {
          const reply = await read(target, coding);
          expect(reply.headers['content-encoding'], target).to.equal(coding);
          expect(unfolded(reply) === plain.bytes.toString(), target).to.be.true;
        }
      }
    }
    expect((await read('/metrics', 'gzip')).headers['content-encoding']).to.equal('gzip');
  });

  it('leaves small answers, refusals and answers without a body plain', async () => {
    for (const [target, status] of [
      [small, 200],
      ['/health', 200],
      ['/nowhere', 404],
    ] as const) {
      const reply = await read(target, 'br, gzip');
      expect([reply.status, reply.headers['content-encoding']], target).to.deep.equal([status, undefined]);
      expect(JSON.parse(reply.bytes.toString())).to.be.an('object');
    }
    const none = await read(path, 'br', {}, 'OPTIONS');
    expect([none.status, none.headers['content-encoding'], none.bytes.length]).to.deep.equal([
      204,
      undefined,
      0,
    ]);
  });

  it('tells caches that answers depend on Accept-Encoding, also where this one is plain', async () => {
    for (const [target, accepted] of [
      [large, 'br'],
      [large, undefined],
      [small, 'br'],
      [path, 'gzip'],
    ] as const) {
      expect((await read(target, accepted)).headers.vary, target).to.match(/(^|, *)Accept-Encoding(,|$)/i);
    }
  });

  it('never fails, whatever is accepted', async () => {
    const odd = [
      'identity;q=0',
      '*;q=0',
      'identity;q=0, br;q=0, gzip;q=0',
      'gzip;q=0, *;q=0',
      'br;q=7',
      'gzip;q=-1',
      'gzip;q=x',
      ';;;',
      ',',
      'br;',
      'q=1',
      '\u00fc',
      'gzip'.repeat(500),
      'br,'.repeat(500),
    ];
    for (const accepted of odd) {
      for (const target of [large, small, path, '/nowhere']) {
        const reply = await read(target, accepted);
        expect(reply.status, `${accepted} ${target}`).to.be.oneOf([200, 404, 406]);
        expect(() => JSON.parse(unfolded(reply)) as unknown, `${accepted} ${target}`).not.to.throw();
      }
    }
  });

  describe('of what has an entity tag', () => {
    const tagOf = async (accepted?: string) => String((await read(path, accepted)).headers.etag);

    it('gives each coding a strong tag of its own, since the bytes differ', async () => {
      const tags = [await tagOf(), await tagOf('br'), await tagOf('gzip')];
      for (const tag of tags) expect(tag).to.match(/^"[\x21\x23-\x7e]+"$/);
      expect(new Set(tags).size).to.equal(3);
      expect([await tagOf(), await tagOf('br'), await tagOf('gzip')]).to.deep.equal(tags);
    });

    it('takes each of them in If-None-Match, whatever coding is accepted now', async () => {
      for (const given of [undefined, 'br', 'gzip']) {
        const condition = { 'If-None-Match': await tagOf(given) };
        for (const accepted of [undefined, 'br', 'gzip']) {
          for (const method of ['GET', 'HEAD']) {
            const reply = await read(path, accepted, condition, method);
            expect([reply.status, reply.bytes.length, reply.headers['content-encoding']]).to.deep.equal([
              304,
              0,
              undefined,
            ]);
          }
        }
      }
    });

    it('names in a 304 the tag that a 200 would have, so that caches know which copy is still good', async () => {
      for (const accepted of ['br', 'gzip']) {
        const tag = await tagOf(accepted);
        const reply = await read(path, accepted, { 'If-None-Match': tag });
        expect([reply.status, reply.headers.etag], accepted).to.deep.equal([304, tag]);
      }
    });

    it('takes each of them in If-Match, and none of an older revision', async () => {
      const { metadata, spec } = JSON.parse(unfolded(await read(path))) as Instance;
      const put = (tag: string, description: string) =>
        server.admin.put(
          path,
          { metadata: { name: metadata.name, description }, spec },
          { headers: { 'If-Match': tag } },
        );
      for (const accepted of [undefined, 'br', 'gzip']) {
        const tag = await tagOf(accepted);
        const passed = await put(tag, `${accepted ?? 'plain'} `.repeat(160));
        expect(passed.status, tag).to.equal(202);
        const refused = await put(tag, 'too late');
        expect(refused.status, tag).to.equal(412);
      }
    });

    it('does not take a coding that there is not for a part of the tag', async () => {
      const tag = await tagOf();
      for (const foreign of [
        tag.replace(/"$/, ';zstd"'),
        tag.replace(/"$/, 'br"'),
        tag.replace(/"$/, ';br;br"'),
      ]) {
        expect((await read(path, undefined, { 'If-None-Match': foreign })).status, foreign).to.equal(200);
      }
    });
  });

  it('gives HEAD the fields of GET for each coding, without the body', async () => {
    for (const target of [large, path]) {
      for (const accepted of ['br', 'gzip', 'identity']) {
        const get = await read(target, accepted);
        const head = await read(target, accepted, {}, 'HEAD');
        expect(head.bytes.length).to.equal(0);
        for (const name of ['content-length', 'content-encoding', 'content-type', 'etag', 'vary'] as const) {
          expect(head.headers[name], `${name} of ${target} for ${accepted}`).to.equal(get.headers[name]);
        }
      }
    }
  });
});
