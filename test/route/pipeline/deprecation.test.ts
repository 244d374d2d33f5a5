/** Routes that go away: Deprecation (RFC 9745), Sunset (RFC 8594), and 410 afterwards. */
import { expect } from 'chai';
import { Type } from 'typebox';
import { NoAuthAuthenticator, RequireUserAuthenticator } from '../../../src/route/pipeline/authenticator.js';
import type { Deprecation } from '../../../src/route/pipeline/deprecation.js';
import { PaginationExecutor } from '../../../src/route/pipeline/pagination.js';
import { defineHandler, type Route } from '../../../src/route/route.js';
import { linksOf } from '../../../src/model/link-header.js';
import type { Connector } from '../../../src/data/connector.js';
import { startServer, type TestServer } from '../../support/server.js';
import { wire } from '../../support/fuzz-http.js';

const day = 24 * 60 * 60 * 1000;
const since = new Date('2023-06-30T23:59:59.700Z');
const future = new Date(Math.floor((Date.now() + 30 * day) / 1000) * 1000);
const past = new Date(Math.floor((Date.now() - day) / 1000) * 1000);
const link = 'https://example.com/migration';

function thing(name: string, deprecation: Deprecation | undefined, more: Partial<Route> = {}): Route {
  const requestHandler = defineHandler(
    {
      operationId: `get-${name}`,
      summary: 'A thing',
      tags: ['test'],
      query: Type.Object({ fail: Type.Optional(Type.Boolean()) }, { additionalProperties: false }),
      responses: { 200: { description: 'The thing.', schema: Type.Object({ name: Type.String() }) } },
    },
    { parse: ({ query }) => query, execute: () => ({ result: { name } }) },
  );
  const methods: Route['methods'] = [
    { methodType: 'GET', authenticator: new NoAuthAuthenticator(), requestHandler },
  ];
  return { route: `/${name}`, methods, ...(deprecation === undefined ? {} : { deprecation }), ...more };
}

const pages = new PaginationExecutor<Connector, undefined>({
  declaration: {
    operationId: 'listOld',
    summary: 'Old things',
    tags: ['test'],
    responses: { 200: { description: 'A page.', schema: Type.Array(Type.Object({})), headers: ['Link'] } },
  },
  args: () => undefined,
  paginator: (_key, limit) =>
    Promise.resolve({ items: [{}], pages: { next: { relation: 'next', key: { position: ['x'] }, limit } } }),
});

describe('a deprecated route', () => {
  let server: TestServer;
  const ask = (path: string, method = 'GET') => wire(server.url + path, { method });

  before(async () => {
    server = await startServer({
      extraRoutes: [
        thing('current', undefined),
        thing('announced', { since: future }),
        thing('old', { since, sunset: future, link }),
        thing(
          'closed',
          { since, sunset: future },
          {
            methods: thing('closed-get', undefined).methods.map((method) => ({
              ...method,
              authenticator: new RequireUserAuthenticator(),
            })),
          },
        ),
        thing('withdrawn', { since, sunset: past, link }),
        thing('withdrawn-silently', { since, sunset: past }),
        {
          route: '/old-list',
          methods: [{ methodType: 'GET', authenticator: new NoAuthAuthenticator(), requestHandler: pages }],
          deprecation: { since, link },
        },
      ],
    });
  });
  after(() => server.stop());

  it('works as before, and says since when it is discouraged, until when it answers and what to read', async () => {
    for (const method of ['GET', 'HEAD']) {
      const { status, headers, bytes } = await ask('/old', method);
      expect(status).to.equal(200);
      if (method === 'GET') expect(JSON.parse(bytes.toString())).to.deep.equal({ name: 'old' });
      expect(headers['deprecation']).to.equal('@1688169599');
      expect(headers['sunset']).to.equal(future.toUTCString());
      expect(Date.parse(String(headers['sunset']))).to.equal(future.getTime());
      expect(headers['link']).to.equal(`<${link}>; rel="deprecation"`);
    }
  });

  it('may announce it for the future, and need not say more', async () => {
    const { status, headers } = await ask('/announced');
    expect(status).to.equal(200);
    expect(headers['deprecation']).to.equal(`@${future.getTime() / 1000}`);
    expect([headers['sunset'], headers['link']]).to.deep.equal([undefined, undefined]);
  });

  it('says so with refusals too, before anybody is identified', async () => {
    for (const [path, status] of [
      ['/old?unknown=1', 400],
      ['/closed', 401],
    ] as const) {
      const reply = await ask(path);
      expect([reply.status, reply.headers['deprecation'], reply.headers['sunset']], path).to.deep.equal([
        status,
        '@1688169599',
        future.toUTCString(),
      ]);
    }
  });

  it('keeps its link beside those of a page', async () => {
    const links = linksOf(String((await ask('/old-list')).headers['link']));
    expect([...links.keys()].sort()).to.deep.equal(['deprecation', 'first', 'next']);
    expect(links.get('deprecation')).to.equal(link);
  });

  it('answers 410 after the sunset, in the usual shape, with a link to what to read', async () => {
    for (const method of ['GET', 'HEAD']) {
      const reply = await ask('/withdrawn', method);
      expect([reply.status, reply.headers['x-error-code']]).to.deep.equal([410, 'gone']);
      expect(reply.headers['link']).to.equal(`<${link}>; rel="sunset"`);
      expect(reply.headers['sunset']).to.equal(past.toUTCString());
      expect(reply.headers['deprecation']).to.equal('@1688169599');
    }
    const { bytes } = await ask('/withdrawn');
    expect(JSON.parse(bytes.toString())).to.include({ code: 'gone', retryable: false });
    expect(bytes.toString()).to.include(past.toUTCString());
    const silent = await ask('/withdrawn-silently');
    expect([silent.status, silent.headers['link']]).to.deep.equal([410, undefined]);
  });

  it('is logged and counted under its pattern after the sunset too', async () => {
    await wire(`${server.url}/withdrawn`, { headers: { 'X-Request-Id': 'withdrawn' } });
    const line = server.log.entries.find(
      ({ message, details }) => message === 'request' && details['requestId'] === 'withdrawn',
    );
    expect(line?.details).to.include({ status: 410, route: '/withdrawn' });
  });

  it('leaves all other routes without a word', async () => {
    for (const path of ['/current', '/health', '/nowhere']) {
      const { headers } = await ask(path);
      expect([headers['deprecation'], headers['sunset'], headers['link']], path).to.deep.equal([
        undefined,
        undefined,
        undefined,
      ]);
    }
  });

  it('is marked in the document, with its fields and its 410', async () => {
    const { paths } = JSON.parse((await ask('/openapi.json')).bytes.toString()) as {
      paths: Record<
        string,
        { get: { deprecated?: boolean; responses: Record<string, { headers?: Record<string, unknown> }> } }
      >;
    };
    const fields = (path: string, status: string) =>
      Object.keys(paths[path]?.get.responses[status]?.headers ?? {});
    expect(paths['/current']?.get.deprecated).to.be.undefined;
    for (const path of ['/announced', '/old', '/withdrawn', '/old-list'])
      expect(paths[path]?.get.deprecated, path).to.be.true;
    expect(fields('/old', '200')).to.include.members(['Deprecation', 'Sunset', 'Link']);
    expect(fields('/old', '410')).to.include.members(['Deprecation', 'Sunset', 'Link']);
    expect(paths['/announced']?.get.responses).not.to.have.property('410');
  });
});
