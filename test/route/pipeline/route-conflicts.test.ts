/** A mistake in a declaration stops the start of the whole server, and is named with its route. */
import { connect } from 'node:net';
import { expect } from 'chai';
import { type TSchema, Type } from 'typebox';
import type { Connector } from '../../../src/data/connector.js';
import { NoAuthAuthenticator } from '../../../src/route/pipeline/authenticator.js';
import type { Declaration } from '../../../src/route/pipeline/handler.js';
import type { MethodHandler, MethodType } from '../../../src/route/pipeline/route-manager.js';
import { defineHandler, type Route } from '../../../src/route/route.js';
import { Api } from '../../support/conform.js';
import { startServer, type TestServer } from '../../support/server.js';

const closed = { additionalProperties: false };
let count = 0;

function method(change: Partial<Declaration> = {}, methodType: MethodType = 'GET'): MethodHandler<Connector> {
  count += 1;
  const declaration: Declaration = {
    operationId: `test-${count}`,
    summary: 'A test',
    tags: ['test'],
    responses: { 200: { description: 'Done.', schema: Type.Object({}) } },
    ...change,
  };
  const requestHandler = defineHandler(declaration, {
    parse: () => undefined,
    execute: () => ({ result: {} }),
  });
  return { methodType, authenticator: new NoAuthAuthenticator(), requestHandler };
}

const params = (...names: string[]) =>
  Type.Object(Object.fromEntries(names.map((name): [string, TSchema] => [name, Type.String()])), closed);
const route = (path: string, ...methods: MethodHandler<Connector>[]): Route => ({ route: path, methods });
const answers = (title: string, schema: Record<string, TSchema>): Partial<Declaration> => ({
  responses: { 200: { description: 'x', schema: Type.Object(schema, { title }) } },
});

/** Why the server does not start with these routes. Fails when it does. */
async function refusal(...extraRoutes: Route[]): Promise<string> {
  let server: TestServer;
  try {
    server = await startServer({ extraRoutes });
  } catch (error) {
    return (error as Error).message;
  }
  await server.stop();
  throw new Error('the server started');
}

describe('the start of the server', () => {
  const mistakes: [what: string, named: string[], routes: () => Route[]][] = [
    [
      'a route that has the path and method of an earlier one of the API',
      ['GET /api/v2/instances'],
      () => [{ route: '/instances', version: 2, methods: [method()] }],
    ],
    [
      'a route that has the path and method of an earlier extra one',
      ['GET /twice'],
      () => [route('/twice', method()), route('/twice', method())],
    ],
    [
      'a method that one route declares twice',
      ['POST /double'],
      () => [route('/double', method({}, 'POST'), method({}, 'POST'))],
    ],
    [
      'a literal path behind a pattern that takes its requests',
      ['GET /things/special', '/things/{id}'],
      () => [route('/things/{id}', method({ params: params('id') })), route('/things/special', method())],
    ],
    [
      'a pattern behind an equal one with another name',
      ['GET /things/{name}', '/things/{id}'],
      () => [
        route('/things/{id}', method({ params: params('id') })),
        route('/things/{name}', method({ params: params('name') })),
      ],
    ],
    [
      'a longer pattern behind one that takes its requests',
      ['GET /a/{x}/c', '/a/{x}/{y}'],
      () => [
        route('/a/{x}/{y}', method({ params: params('x', 'y') })),
        route('/a/{x}/c', method({ params: params('x') })),
      ],
    ],
    [
      'a path parameter that is not declared',
      ['GET /things/{id}', 'id'],
      () => [route('/things/{id}', method())],
    ],
    [
      'a declared parameter that the path lacks',
      ['GET /things', 'id'],
      () => [route('/things', method({ params: params('id') }))],
    ],
    [
      'a parameter whose name the path cannot have',
      ['/things/{id2}'],
      () => [route('/things/{id2}', method())],
    ],
    [
      'a parameter with a dash in its name',
      ['/things/{the-id}'],
      () => [route('/things/{the-id}', method())],
    ],
    ['a parameter in the words of the router', ['/n/:id'], () => [route('/n/:id', method())]],
    ['a wildcard', ['/things/*rest'], () => [route('/things/*rest', method())]],
    [
      'a path that does not begin with a slash',
      ['"things"'],
      () => [{ route: 'things', version: 2, methods: [method()] }],
    ],
    [
      'a method that HTTP clients do not know',
      ['BREW /tea'],
      () => [route('/tea', method({}, 'BREW' as MethodType))],
    ],
    [
      'a method without a handler',
      ['GET /idle', 'requestHandler'],
      () => [route('/idle', { ...method(), requestHandler: undefined as never })],
    ],
    [
      'a sunset before the deprecation',
      ['/old', 'before'],
      () => [
        {
          ...route('/old', method()),
          deprecation: { since: new Date('2026-02-01'), sunset: new Date('2026-01-01') },
        },
      ],
    ],
    [
      'two schemas with one title, one of them of the API',
      ['GET /titled', '"Instance"'],
      () => [route('/titled', method(answers('Instance', {})))],
    ],
    [
      'two schemas with one title, both of extra routes',
      ['GET /titled-b', '"Titled"'],
      () => [
        route('/titled-a', method(answers('Titled', { a: Type.String() }))),
        route('/titled-b', method(answers('Titled', { b: Type.String() }))),
      ],
    ],
    [
      'an operation id that is taken',
      ['GET /again', '"listInstances"'],
      () => [route('/again', method({ operationId: 'listInstances' }))],
    ],
    [
      'no authenticator',
      ['GET /open', 'authenticator'],
      () => [
        route('/open', { ...method(), authenticator: undefined } as unknown as MethodHandler<Connector>),
      ],
    ],
    ['a route without methods', ['/empty'], () => [route('/empty')]],
    ['a route that declares no response', ['GET /mute'], () => [route('/mute', method({ responses: {} }))]],
    [
      'a schema that cannot be compiled',
      ['POST /broken'],
      () => [
        route('/broken', method({ body: Type.Object({ a: Type.String({ pattern: '(' }) }, closed) }, 'POST')),
      ],
    ],
  ];

  for (const [what, named, routes] of mistakes) {
    it(`is refused for ${what}, which is named`, async () => {
      const message = await refusal(...routes());
      for (const name of named) expect(message).to.include(name);
    });
  }

  it('that is refused leaves no listener behind', async () => {
    const probe = await startServer();
    const port = Number(new URL(probe.url).port);
    await probe.stop();
    let refused = '';
    try {
      await startServer({ flags: { server: { port } }, extraRoutes: [route('/empty')] });
    } catch (error) {
      refused = (error as Error).message;
    }
    expect(refused).to.include('/empty');
    const code = await new Promise((resolve) => {
      connect(port, '127.0.0.1', () => resolve('connected')).on('error', (error: NodeJS.ErrnoException) =>
        resolve(error.code),
      );
    });
    expect(code).to.equal('ECONNREFUSED');
  });

  it('takes what only looks like a mistake', async () => {
    const server = await startServer({
      extraRoutes: [
        route('/fine/special', method()),
        route('/fine/{id}', method({ params: params('id') })),
        route('/fine/{id}/more', method({ params: params('id') })),
        route('/fine', method(), method({}, 'POST')),
        route('/fine/{id}', method({ params: params('id') }, 'DELETE')),
        route('/same-a', method(answers('Same', { a: Type.String() }))),
        route('/same-b', method(answers('Same', { a: Type.String() }))),
      ],
    });
    try {
      const api = new Api(server.url);
      for (const path of ['/fine', '/fine/special', '/fine/other', '/fine/other/more']) {
        expect((await api.get(path)).status, path).to.equal(200);
      }
      expect((await api.delete('/fine/other')).status).to.equal(200);
    } finally {
      await server.stop();
    }
  });
});
