import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { contextKey } from '../../../src/route/chain/context.js';
import type { ResourceHandler } from '../../../src/route/chain/handler.js';
import type { Job } from '../../../src/route/chain/job.js';
import { Multiplexer } from '../../../src/route/chain/multiplexer.js';
import {
  DuplicateHandlerError,
  InitHandlerError,
  type Registration,
} from '../../../src/route/chain/registry.js';
import { eventually } from '../../support/eventually.js';
import { askChain, auth, plainFetch } from '../../support/chain.js';
import { startServer, type TestServer } from '../../support/server.js';

/** A handler that notes that it ran, and says whether to go on. */
function noting(id: string, log: string[], goesOn: unknown = true): ResourceHandler {
  return {
    id,
    get: () => {
      log.push(id);
      return goesOn;
    },
  };
}

const echo = (id: string, of: (job: Job) => unknown): ResourceHandler => ({
  id,
  get: async (job) => job.respond(200, await of(job)),
});

describe('A chain of handlers', () => {
  let server: TestServer;
  const mux = new Multiplexer({ basePath: '/ext/v1' });
  const open = new Multiplexer({ basePath: '/open', access: 'anyone' });

  before(async () => {
    server = await startServer({ multiplexers: [mux, open], defectsExpected: true });
  });
  after(() => server.stop());

  const ask = (path: string, init?: RequestInit) => askChain(server.url + path, init);

  it('answers by domain, resource and id, whatever their case, with the spelling of the request', async () => {
    await mux.register(
      'Test',
      'paths',
      echo('e', ({ domain, resource, path, resourceId }) => ({
        ...{
          domain,
          resource,
          resourceId,
          single: path.resourceId,
          length: path.length,
          fifth: path.part(9),
        },
      })),
    );
    const { body } = await ask('/ext//v1/tesT/Paths/a%2Fb/c%20d/');
    expect(body).to.deep.equal({
      ...{ domain: 'tesT', resource: 'Paths', resourceId: 'a/b/c d', single: 'a/b', length: 4, fifth: '' },
    });
  });

  it('falls back to the default resource, then to the default domain', async () => {
    await mux.register(
      'fall',
      'default',
      echo('d', ({ resource }) => ({ here: 'fall', resource })),
    );
    expect((await ask('/ext/v1/fall/any/1')).body).to.deep.equal({ here: 'fall', resource: 'any' });
    expect((await ask('/ext/v1/fall')).body).to.deep.equal({ here: 'fall', resource: 'default' });
    expect((await ask('/ext/v1/elsewhere/any')).status).to.equal(404);
    await mux.register(
      'default',
      'default',
      echo('d', ({ domain }) => ({ here: 'default', domain })),
    );
    expect((await ask('/ext/v1/elsewhere/any')).body).to.deep.equal({ here: 'default', domain: 'elsewhere' });
    expect((await ask('/ext/v1')).body).to.deep.equal({ here: 'default', domain: 'default' });
    mux.deregister('default', 'default');
  });

  it('goes on only after true, and a chain that writes nothing is 204', async () => {
    const log: string[] = [];
    for (const [index, goesOn] of [true, Promise.resolve(true), 1 as unknown, true].entries())
      await mux.register('test', 'go-on', noting(`h${index}`, log, goesOn));
    expect((await ask('/ext/v1/test/go-on')).status).to.equal(204);
    expect(log).to.deep.equal(['h0', 'h1', 'h2']);
  });

  it('leaves what is not below its base path to the routes, and never fails because of a short path', async () => {
    for (const path of ['/', '/ext', '/other/v1/test/go-on', '/ext/v2/test/go-on'])
      expect((await ask(path)).status, path).to.equal(404);
    expect((await ask('/api/v2/instances')).status).to.equal(200);
  });

  it('is 400 for a broken escape and for segments that could lead elsewhere', async () => {
    for (const path of ['/ext/v1/test/%zz', '/ext/v1/test/a/%00'])
      expect((await ask(path)).status, path).to.equal(400);
  });

  it('has the limits, errors and callers of the routes', async () => {
    const stranger = await plainFetch(`${server.url}/ext/v1/test/paths`);
    expect([stranger.status, stranger.headers.get('x-error-code')]).to.deep.equal([401, 'unauthorized']);
    const { headers } = await ask('/ext/v1/test/paths');
    expect(headers.get('ratelimit')).to.be.a('string');
    expect(headers.get('x-request-id')).to.be.a('string');
    await open.register(
      'test',
      'who',
      echo('e', ({ user }) => ({ known: user !== undefined })),
    );
    expect(await (await plainFetch(`${server.url}/open/test/who`)).json()).to.deep.equal({ known: false });
    await mux.register(
      'test',
      'who',
      echo('e', ({ user }) => ({ superUser: user?.superUser })),
    );
    expect((await ask('/ext/v1/test/who')).body).to.deep.equal({ superUser: true });
    await mux.register('test', 'body', { id: 'b', post: async (job) => job.respond(200, await job.read()) });
    const post = (body: string, type: string) =>
      ask('/ext/v1/test/body', { method: 'POST', body, headers: { 'Content-Type': type } });
    expect((await post('{"a":[1]}', 'application/json')).body).to.deep.equal({ a: [1] });
    expect((await post('<r><a>x</a></r>', 'application/xml')).body).to.deep.equal({ a: 'x' });
    expect((await post('x', 'text/plain')).status).to.equal(415);
    expect((await post('{', 'application/json')).status).to.equal(400);
    expect((await post(JSON.stringify({ a: 'x'.repeat(2 ** 21) }), 'application/json')).status).to.equal(413);
  });

  it('answers a method only if all its handlers do, with Allow, HEAD and OPTIONS', async () => {
    const log: string[] = [];
    await mux.registerAll([
      { domain: 'test', resource: 'methods', handler: noting('guard', log) },
      {
        ...{ domain: 'test', resource: 'methods' },
        handler: { id: 'work', read: (job) => job.respond(200, { ok: true }), create: () => false },
      },
    ]);
    const refused = await ask('/ext/v1/test/methods', { method: 'POST' });
    expect([refused.status, refused.headers.get('allow')]).to.deep.equal([405, 'GET, HEAD, OPTIONS']);
    expect(log).to.deep.equal([]);
    const head = await ask('/ext/v1/test/methods', { method: 'HEAD' });
    expect([head.status, head.text]).to.deep.equal([200, '']);
    const options = await ask('/ext/v1/test/methods', { method: 'OPTIONS' });
    expect([options.status, options.headers.get('allow')]).to.deep.equal([204, 'GET, HEAD, OPTIONS']);
    await mux.register('test', 'tricky', { id: 'constructor', get: () => false });
    expect((await ask('/ext/v1/test/tricky', { method: 'DELETE' })).status).to.equal(405);
  });

  it('that fails is 500 without its inside, and drops what was written', async () => {
    await mux.register('test', 'fails', {
      id: 'f',
      get: (job) => {
        job.text(200, 'half');
        throw new Error('secret /etc/path');
      },
    });
    const { status, text } = await ask('/ext/v1/test/fails');
    expect(status).to.equal(500);
    expect(text).not.to.match(/half|secret/);
    await mux.register('test', 'cyclic', {
      id: 'c',
      get: (job) => {
        const value: Record<string, unknown> = {};
        value['self'] = value;
        job.cbor().write(200, value);
      },
    });
    expect((await ask('/ext/v1/test/cyclic')).status).to.equal(500);
  });

  it('ignores the favicon below its base path', async () => {
    expect((await ask('/ext/v1/favicon.ico')).status).to.equal(204);
    expect((await ask('/ext/v1/favicon.ico', { method: 'POST' })).status).to.equal(405);
  });

  it('has unique ids, removes any of its handlers, and closes them', async () => {
    const closed: string[] = [];
    const handler = (id: string): ResourceHandler => ({
      id,
      get: () => true,
      close: () => void closed.push(id),
    });
    for (const id of ['a', 'b', 'c']) await mux.register('ids', 'x', handler(id));
    let inits = 0;
    const twice = mux.register('ids', 'X', { ...handler('b'), init: () => void (inits += 1) });
    expect(await twice.catch((error: unknown) => error)).to.be.instanceOf(DuplicateHandlerError);
    expect(inits).to.equal(0);
    expect(mux.deregister('ids', 'x', 'c', 'unknown')).to.deep.equal(['c']);
    expect(mux.registeredHandlers('IDS', 'x')).to.deep.equal(['a', 'b']);
    expect(mux.deregister('ids', 'x', 'a')).to.deep.equal(['a']);
    expect(mux.deregister('ids', 'x')).to.deep.equal(['b']);
    expect(mux.registeredHandlers('ids', 'x')).to.deep.equal([]);
    expect(mux.deregister('ids', 'nothing')).to.deep.equal([]);
    expect(closed).to.deep.equal(['c', 'a', 'b']);
    for (const [domain, resource, id] of [
      ['', 'x', 'a'],
      ['a/b', 'c', 'd'],
      ['x', '..', 'a'],
      ['x', 'y', ''],
    ] as const)
      expect(
        await mux.register(domain, resource, handler(id)).catch((error: unknown) => error),
      ).to.be.instanceOf(TypeError);
  });

  it('is registered as a whole or not at all, and exactly one of two with one id', async () => {
    const closed: string[] = [];
    const fine = { id: 'fine', get: () => true, close: () => void closed.push('fine') };
    const bad = { id: 'bad', get: () => true, init: () => Promise.reject(new Error('no')) };
    const result = await mux
      .registerAll([
        { domain: 'all', resource: 'x', handler: fine },
        { domain: 'all', resource: 'x', handler: bad },
      ])
      .catch((error: unknown) => error);
    expect(result).to.be.instanceOf(InitHandlerError);
    expect([mux.registeredHandlers('all', 'x'), closed]).to.deep.equal([[], ['fine']]);
    const both = await Promise.allSettled(
      [1, 2].map(() => mux.register('all', 'x', { id: 'one', get: () => true })),
    );
    expect(both.map(({ status }) => status).sort()).to.deep.equal(['fulfilled', 'rejected']);
    await mux.replace('all', 'x', [noting('new', []), noting('one', [])]);
    expect(mux.registeredHandlers('all', 'x')).to.deep.equal(['new', 'one']);
  });

  it('may be changed by its own handlers, also in init', async () => {
    await mux.register('test', 'self', {
      id: 's',
      init: () => mux.register('test', 'from-init', noting('i', [])),
      get: async (job) => {
        await mux.register('test', 'self', noting('later', []));
        mux.deregister('test', 'self', 's');
        job.respond(200, { now: mux.registeredHandlers('test', 'self') });
      },
    });
    expect((await ask('/ext/v1/test/self')).body).to.deep.equal({ now: ['later'] });
    expect(mux.registeredHandlers('test', 'from-init')).to.deep.equal(['i']);
  });

  it('that a thousand slow requests use is replaced meanwhile: none is lost or mixed, and no new one waits', async function () {
    this.timeout(60_000);
    let release: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    let waiting = 0;
    let closed = 0;
    const name = contextKey<string>('generation');
    const chain = (generation: string): ResourceHandler[] => [
      {
        id: 'first',
        get: async (job) => {
          job.enhanceContext((context) => context.with(name, generation));
          waiting += 1;
          if (generation === 'old') await gate;
          return true;
        },
        close: () => void (closed += 1),
      },
      echo('second', (job) => ({ first: job.context.get(name), second: generation, id: job.resourceId })),
    ];
    await mux.replace('many', 'slow', chain('old'));
    const slow = Array.from({ length: 1000 }, (_, index) => ask(`/ext/v1/many/slow/${index}`));
    await eventually(() => waiting === 1000, { what: 'all requests under way' });
    for (let round = 0; round < 50; round++) {
      await mux.replace('many', 'slow', chain('new'));
      await mux.register('many', `other-${round}`, noting('x', []));
      mux.deregister('many', `other-${round}`);
    }
    expect(closed).to.equal(49);
    expect((await ask('/ext/v1/many/slow/new')).body).to.deep.equal({
      first: 'new',
      second: 'new',
      id: 'new',
    });
    release?.();
    const answers = await Promise.all(slow);
    for (const [index, { status, body }] of answers.entries())
      expect([status, body]).to.deep.equal([200, { first: 'old', second: 'old', id: String(index) }]);
    expect(closed).to.equal(50);
  });

  it('is written as docs/chains.md shows', async () => {
    const page = readFileSync('docs/chains.md', 'utf8');
    const [, code = ''] = /```js\n(export default[^]*?)```/.exec(page) ?? [];
    const [, base = ''] = /new Multiplexer\(\{ basePath: '([^']+)' \}\)/.exec(page) ?? [];
    const [, path = ''] = /8080([^']*)'\n```/.exec(page) ?? [];
    const [, expected = ''] = /```json\n(.*)\n```/.exec(page) ?? [];
    const shown = new Multiplexer({ basePath: base });
    const own = await startServer({ multiplexers: [shown] });
    try {
      const extension = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as {
        default: Registration[];
      };
      await shown.registerAll(extension.default);
      const get = (language: string) =>
        plainFetch(own.url + path, { headers: { ...auth, 'Accept-Language': language } });
      const greeted = await get('en-GB');
      expect([greeted.status, await greeted.json()]).to.deep.equal([200, JSON.parse(expected)]);
      expect((await get('pt')).status).to.equal(406);
      shown.deregister('greet', 'people', 'only-in-english');
      expect((await get('pt')).status).to.equal(200);
    } finally {
      await own.stop();
    }
  });

  it('must not be where routes are', async () => {
    const clash = startServer({ multiplexers: [new Multiplexer({ basePath: '/api/v2' })] });
    expect(String(await clash.catch((error: unknown) => error))).to.match(/\/api\/v2/);
    expect(() => new Multiplexer({ basePath: '/' })).to.throw(TypeError, 'basePath');
    expect(() => new Multiplexer({ basePath: '/a?b' })).to.throw(TypeError, 'basePath');
    expect(new Multiplexer().environment.basePath).to.equal('/chains');
  });
});
