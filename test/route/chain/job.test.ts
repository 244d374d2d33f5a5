import { expect } from 'chai';
import { decode } from 'cbor2';
import { contextKey, type JobContext } from '../../../src/route/chain/context.js';
import { negativeFeedback, positiveFeedback } from '../../../src/route/chain/feedback.js';
import type { ResourceHandler } from '../../../src/route/chain/handler.js';
import type { Job } from '../../../src/route/chain/job.js';
import { Multiplexer } from '../../../src/route/chain/multiplexer.js';
import { askChain } from '../../support/chain.js';
import { startServer, type TestServer } from '../../support/server.js';
import { xmlElement, xmlValue } from '../../support/xml.js';

const echo = (id: string, of: (job: Job) => unknown): ResourceHandler => ({
  id,
  get: async (job) => job.respond(200, await of(job)),
});

describe('A job', () => {
  let server: TestServer;
  const mux = new Multiplexer({ basePath: '/ext/v1' });

  before(async () => {
    server = await startServer({ multiplexers: [mux], defectsExpected: true });
  });
  after(() => server.stop());

  const ask = (path: string, init?: RequestInit) => askChain(server.url + path, init);

  it('hands on a context, which later handlers see and cannot change for others', async () => {
    const key = contextKey<string>('name');
    let first: JobContext | undefined;
    await mux.register('test', 'context', {
      id: 'one',
      get: (job) => {
        first = job.context;
        job.enhanceContext((context) => context.with(key, 'ann').withTimeout(60_000));
        return true;
      },
    });
    await mux.register(
      'test',
      'context',
      echo('two', ({ context, signal }) => ({ name: context.get(key), aborted: signal.aborted })),
    );
    expect((await ask('/ext/v1/test/context')).body).to.deep.equal({ name: 'ann', aborted: false });
    expect(first?.get(key)).to.equal(undefined);
  });

  it('negotiates the version: the header, its short forms, 400 for what is none, and says it in every answer', async () => {
    await mux.register('test', 'version', {
      id: 'v',
      get: (job) => {
        if (job.query.bool('fail', false)) throw new Error('fails');
        const version = String(job.version);
        job.respond(200, { version });
      },
    });
    const version = async (asked: string) => {
      const { status, headers, body } = await ask('/ext/v1/test/version', { headers: { Version: asked } });
      return status === 200 ? [body['version'], headers.get('version')] : status;
    };
    expect(await version('')).to.deep.equal(['1.0.0', '1.0.0']);
    expect(await version('2')).to.deep.equal(['2.0.0', '2.0.0']);
    expect(await version('3.1.4-rc.1+b')).to.deep.equal(['3.1.4-rc.1+b', '3.1.4-rc.1+b']);
    for (const wrong of ['v2', '1.2.3.4', '-1', '1.2.3-01', 'x'.repeat(1000)])
      expect(await version(wrong), wrong).to.equal(400);
    const { headers } = await ask('/ext/v1/test/version?fail=true', { headers: { Version: '2' } });
    expect([headers.get('version'), headers.get('vary')?.includes('Version')]).to.deep.equal(['2.0.0', true]);
  });

  it('chooses a language', async () => {
    await mux.register(
      'test',
      'language',
      echo('l', (job) => ({ chosen: job.language('en', 'de', 'fr') ?? 'none', all: job.languages() })),
    );
    const chosen = async (header: string) => {
      const { body, headers } = await ask('/ext/v1/test/language', {
        headers: { 'Accept-Language': header },
      });
      return [body['chosen'], headers.get('content-language')];
    };
    expect(await chosen('de-CH, en;q=0.8')).to.deep.equal(['de', 'de']);
    expect(await chosen('pt;q=1, fr;q=0.5, en;q=0.7')).to.deep.equal(['en', 'en']);
    expect(await chosen('en;q=0, *;q=0.1')).to.deep.equal(['de', 'de']);
    expect(await chosen('pt')).to.deep.equal(['none', null]);
    const { body } = await ask('/ext/v1/test/language', {
      headers: { 'Accept-Language': 'da, x y, en-GB;q=0.8,fr;q=2' },
    });
    expect(body['all']).to.deep.equal([
      { locale: 'da', quality: 1 },
      { locale: 'en-GB', quality: 0.8 },
    ]);
  });

  it('reads values of the query and of a form, as texts, numbers, times and durations, with defaults', async () => {
    const read = ({ query }: Job) => ({
      string: query.string('s', 'none'),
      bool: query.bool('b', false),
      int: query.int('i', -1),
      float: query.float('f', -1),
      time: query.time('t', new Date(0)),
      duration: query.duration('d', -1),
    });
    await mux.register('test', 'values', echo('v', read));
    const values = async (search: string) => (await ask(`/ext/v1/test/values?${search}`)).body;
    expect(await values('s=x&s=y&b=T&i=-42&f=1.5e3&t=2026-02-28T10:00:00Z&d=1h30m')).to.deep.equal({
      ...{
        string: 'x',
        bool: true,
        int: -42,
        float: 1500,
        time: '2026-02-28T10:00:00.000Z',
        duration: 5_400_000,
      },
    });
    const nothing = {
      string: 'none',
      bool: false,
      int: -1,
      float: -1,
      time: '1970-01-01T00:00:00.000Z',
      duration: -1,
    };
    expect(await values('')).to.deep.equal(nothing);
    expect(await values('s=&b=yes&i=1.5&f=Infinity&t=2026-02-31&d=1d')).to.deep.equal(nothing);
    await mux.register(
      'test',
      'strict',
      echo('v', ({ query }) => ({ n: query.require.int('n') })),
    );
    expect((await ask('/ext/v1/test/strict?n=7')).body).to.deep.equal({ n: 7 });
    const wrong = await ask('/ext/v1/test/strict?n=x');
    expect([wrong.status, wrong.body['code']]).to.deep.equal([400, 'invalid_parameter']);
    await mux.register('test', 'form', {
      id: 'f',
      post: async (job) => {
        const form = await job.form();
        job.respond(200, { all: form.all('a'), proto: form.string('__proto__', '') });
      },
    });
    const sent = await ask('/ext/v1/test/form', {
      method: 'POST',
      body: new URLSearchParams('a=1&a=2%26&__proto__=p'),
    });
    expect(sent.body).to.deep.equal({ all: ['1', '2&'], proto: 'p' });
    const json = { method: 'POST', body: '{}', headers: { 'Content-Type': 'application/json' } };
    expect((await ask('/ext/v1/test/form', json)).status).to.equal(415);
  });

  it('gives feedback in JSON, XML and CBOR, with percent signs as they are', async () => {
    await mux.register('test', 'feedback', {
      id: 'f',
      get: (job) => positiveFeedback(job.formatter(), { n: 1 }, '100% good'),
      delete: (job) => negativeFeedback(job.formatter(), 409, '100% bad'),
    });
    const good = { statusCode: 200, status: 'success', message: '100% good', payload: { n: 1 } };
    expect((await ask('/ext/v1/test/feedback')).body).to.deep.equal(good);
    const xml = await ask('/ext/v1/test/feedback', { headers: { Accept: 'application/xml' } });
    expect([xmlElement(xml.text).name, xmlValue(xmlElement(xml.text))]).to.deep.equal(['Feedback', good]);
    const cbor = await ask('/ext/v1/test/feedback', { headers: { Accept: 'application/cbor' } });
    expect(decode(cbor.bytes)).to.deep.equal(good);
    const bad = await ask('/ext/v1/test/feedback', { method: 'DELETE' });
    expect([bad.status, bad.body]).to.deep.equal([
      409,
      { statusCode: 409, status: 'fail', message: '100% bad' },
    ]);
    expect((await ask('/ext/v1/test/feedback', { headers: { Accept: 'image/png' } })).status).to.equal(406);
  });

  it('writes JSON with and without escapes for HTML', async () => {
    await mux.register('test', 'html', {
      id: 'h',
      get: (job) => job.json({ html: job.query.bool('html', true) }).write(200, { a: '<b>' }),
    });
    expect((await ask('/ext/v1/test/html')).text).to.equal('{"a":"\\u003cb\\u003e"}');
    expect((await ask('/ext/v1/test/html?html=false')).text).to.equal('{"a":"<b>"}');
  });

  it('renders templates, escaped in HTML and whole or not at all', async () => {
    const { templates } = mux.environment;
    templates.parse('greeting', '<p>{{ name }}</p>', 'text/html');
    templates.parse('plain', '{{ name }}', 'text/plain');
    expect(() => templates.parse('greeting', '{% if %}', 'text/html')).to.throw();
    await mux.register('test', 'template', {
      id: 't',
      get: (job) => job.render(job.query.string('t', ''), { name: '<i>' }),
    });
    const html = await ask('/ext/v1/test/template?t=greeting');
    expect([html.text, html.headers.get('content-type')]).to.deep.equal([
      '<p>&lt;i&gt;</p>',
      'text/html; charset=utf-8',
    ]);
    expect((await ask('/ext/v1/test/template?t=plain')).text).to.equal('<i>');
    expect((await ask('/ext/v1/test/template?t=unknown')).status).to.equal(500);
  });

  it('redirects only within the chains, with every part encoded', async () => {
    await mux.register('test', 'redirect', {
      id: 'r',
      get: (job) => job.redirect('test', 'paths', 'a b?/c'),
    });
    const { status, headers } = await ask('/ext/v1/test/redirect', { redirect: 'manual' });
    expect([status, headers.get('location')]).to.deep.equal([307, '/ext/v1/test/paths/a%20b%3F/c']);
    await mux.register('test', 'escape', { id: 'r', get: (job) => job.redirect('test', 'paths', '../../x') });
    expect((await ask('/ext/v1/test/escape', { redirect: 'manual' })).status).to.equal(500);
  });
});
