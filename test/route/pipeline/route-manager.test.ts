import Router from '@koa/router';
import { expect } from 'chai';
import { Type } from 'typebox';
import { ApiError } from '../../../src/model/error.js';
import { rightsIn } from '../../../src/model/project.js';
import {
  NoAuthAuthenticator,
  ProjectAdminAuthenticator,
  RequireUserAuthenticator,
} from '../../../src/route/pipeline/authenticator.js';
import { bodyReader } from '../../../src/route/pipeline/body.js';
import { mustHaveProjectContext, mustHaveUser, type User } from '../../../src/route/pipeline/context.js';
import { CursorCodec } from '../../../src/route/pipeline/cursor.js';
import type { Declaration } from '../../../src/route/pipeline/handler.js';
import type { Deprecation } from '../../../src/route/pipeline/deprecation.js';
import { checkRoutes, checkSchemas } from '../../../src/route/pipeline/route-conflicts.js';
import {
  type MethodHandler,
  register,
  RegistrationError,
  type RouteManager,
} from '../../../src/route/pipeline/route-manager.js';
import { type PipelineEnvironment, serve } from '../../../src/route/pipeline/serve.js';
import { allRows } from '../../../src/route/roles-page.js';
import { defineHandler, type Route, routesOf } from '../../../src/route/route.js';
import type { Connector } from '../../../src/data/connector.js';
import { Api } from '../../support/conform.js';
import { failureOf } from '../../support/eventually.js';
import { addPerson, addProject } from '../../support/people.js';
import { startServer, type TestServer } from '../../support/server.js';

const open = new NoAuthAuthenticator();
const environment = {
  connector: {},
  cursors: new CursorCodec(Buffer.alloc(32)),
  publicUrl: () => 'http://localhost',
  identify: () => Promise.resolve(undefined),
  readBody: bodyReader(1024),
} as unknown as PipelineEnvironment<Connector>;

const declaration: Declaration = {
  operationId: 'getThing',
  summary: 'A thing',
  tags: ['things'],
  responses: { 200: { description: 'The thing.', schema: Type.Object({}) } },
};

function handler(change: Partial<Declaration> = {}) {
  return defineHandler(
    { ...declaration, ...change },
    { parse: () => undefined, execute: () => ({ result: {} }) },
  );
}

function method(
  change: Partial<Declaration> = {},
  more: Partial<MethodHandler<Connector>> = {},
): MethodHandler<Connector> {
  return { methodType: 'GET', authenticator: open, requestHandler: handler(change), ...more };
}

function refusal(...managers: RouteManager<Connector>[]): Error {
  const router = new Router();
  try {
    checkRoutes(managers);
    checkSchemas(managers);
    for (const manager of managers) register(router, manager, serve(environment));
  } catch (error) {
    if (error instanceof RegistrationError) return error;
    throw error;
  }
  throw new Error('the registration was taken');
}

const closed = { additionalProperties: false };
const params = Type.Object({ id: Type.String() }, closed);

describe('the registration of a route', () => {
  it('takes a route that is whole', () => {
    register(
      new Router(),
      { route: '/things/{id}', version: 2, methods: [method({ params })] },
      serve(environment),
    );
  });

  it('refuses a method without an authenticator, and names it', () => {
    const manager = {
      route: '/things',
      version: 2,
      methods: [{ methodType: 'GET', requestHandler: handler() }],
    };
    const { message } = refusal(manager as unknown as RouteManager<Connector>);
    expect(message).to.include('GET /api/v2/things').and.to.include('authenticator');
  });

  it('refuses a route without methods', () => {
    expect(refusal({ route: '/things', version: 2, methods: [] }).message).to.include('/api/v2/things');
  });

  it('refuses a method that is declared twice', () => {
    expect(refusal({ route: '/things', methods: [method(), method()] }).message).to.include('GET /things');
  });

  it('refuses a method of a path that another route has already', () => {
    const one = { route: '/things', version: 2, methods: [method()] };
    const { message } = refusal(one, { ...one, methods: [method({ operationId: 'getThingAgain' })] });
    expect(message).to.include('GET /api/v2/things');
  });

  it('refuses a path that another one shadows', () => {
    const general = { route: '/things/{id}', version: 2, methods: [method({ params })] };
    const other = Type.Object({ name: Type.String() }, closed);
    expect(
      refusal(general, { route: '/things/{name}', version: 2, methods: [method({ params: other })] }).message,
    ).to.include('/api/v2/things/{name}');
    expect(
      refusal(general, { route: '/things/special', version: 2, methods: [method()] }).message,
    ).to.include('/api/v2/things/special');
  });

  it('refuses to keep the answer to anything but a GET', () => {
    const { message } = refusal({
      route: '/things',
      methods: [method({ cacheable: true }, { methodType: 'POST' })],
    });
    expect(message).to.include('POST /things').and.to.include('GET');
  });

  it('refuses a path parameter that is not declared, and a declared one that the path lacks', () => {
    expect(refusal({ route: '/things/{id}', methods: [method()] }).message).to.include('[id]');
    expect(refusal({ route: '/things', methods: [method({ params })] }).message).to.include('[id]');
    expect(refusal({ route: '/things/{ID}', methods: [method({ params })] }).message).to.include('[ID]');
  });

  it('refuses paths of which the router knows more than the declaration', () => {
    const more = ['/things/:id', '/things/*rest', '/things{/:id}', '/things/(.*)', '/things/x?', '/things+'];
    const odd = [
      'things',
      '',
      '/',
      '/things/',
      '//things',
      '/a b',
      '/a%20b',
      '/a/../b',
      '/.',
      '/{}',
      '/x{id}',
    ];
    for (const route of [...more, ...odd]) {
      for (const version of [undefined, 2]) {
        const manager = { route, methods: [method()], ...(version === undefined ? {} : { version }) };
        expect(refusal(manager).message, route).to.include(`"${route}"`);
      }
    }
    expect(refusal({ route: '/n/:id', methods: [method()] }, { route: '/n/special', methods: [method()] }))
      .to.have.property('message')
      .that.includes('/n/:id');
  });

  it('refuses a version that is no positive integer', () => {
    for (const version of [0, -1, 1.5, NaN]) {
      const { message } = refusal({ route: '/things', version, methods: [method()] });
      expect(message, String(version)).to.include(`/api/v${version}/things`).and.to.include('version');
    }
  });

  it('refuses a method that is none of the five, also one in lower case beside the right one', () => {
    for (const methodType of ['BREW', 'HEAD', 'OPTIONS', 'get', '', undefined] as unknown as 'GET'[]) {
      const { message } = refusal({ route: '/things', methods: [method(), method({}, { methodType })] });
      expect(message).to.include(`${methodType} /things: the method`);
    }
  });

  it('refuses a method without a requestHandler, and one whose handler has no declaration', () => {
    for (const requestHandler of [undefined, {}] as unknown as MethodHandler<Connector>['requestHandler'][]) {
      const { message } = refusal({ route: '/things', methods: [method({}, { requestHandler })] });
      expect(message).to.include('GET /things').and.to.include('requestHandler');
    }
  });

  it('refuses a deprecation that could not be announced', () => {
    const since = new Date('2026-01-02T00:00:00Z');
    const wrong: [Deprecation, string][] = [
      [{ since: new Date(NaN) }, '"since"'],
      [{ since, sunset: new Date(NaN) }, '"sunset"'],
      [{ since, sunset: new Date('2026-01-01T00:00:00Z') }, 'before'],
      [{ since, link: 'https://example.com/\r\nSet-Cookie: a=b' }, 'link'],
      [{ since, link: 'https://example.com/>; rel="next"' }, 'link'],
    ];
    for (const [deprecation, named] of wrong) {
      const { message } = refusal({ route: '/things', methods: [method()], deprecation });
      expect(message).to.include('/things: ').and.to.include(named);
    }
    const methods = [method()];
    register(
      new Router(),
      { route: '/things', methods, deprecation: { since, sunset: since } },
      serve(environment),
    );
  });

  it('refuses a handler that declares no response', () => {
    expect(refusal({ route: '/things', methods: [method({ responses: {} })] }).message).to.include(
      'no response',
    );
  });

  it('refuses schemas that cannot be compiled, wherever they stand, with the cause', () => {
    const broken = Type.Object({ id: { type: 'strin' } as never }, closed);
    const places: [string, Partial<Declaration>][] = [
      ['/things', { body: broken }],
      ['/things', { query: broken }],
      ['/things/{id}', { params: broken }],
      ['/things', { responses: { 200: { description: 'x', schema: broken } } }],
      ['/things', { query: Type.Object({ id: Type.String({ pattern: '(' }) }, closed) }],
      ['/things', { query: Type.Object({ id: Type.String({ format: 'no-such-format' }) }, closed) }],
      ['/things', { body: Type.Object({ id: Type.String({ maxLenght: 3 }) }, closed) }],
    ];
    for (const [route, change] of places) {
      const error = refusal({ route, methods: [method(change)] });
      expect(error.message, JSON.stringify(change)).to.include('cannot be compiled');
      expect(error.cause).to.be.an.instanceOf(Error);
    }
  });

  it('finds no such schema in the table of the API, whose routes compile theirs at the first call', () => {
    checkSchemas(routesOf(allRows()));
  });

  for (const [named, what, change] of [
    ['listInstances', 'an operation id that is taken', { operationId: 'listInstances' }],
    [
      'Instance',
      'a title that another schema has',
      { responses: { 200: { description: 'x', schema: Type.Object({}, { title: 'Instance' }) } } },
    ],
  ] as [string, string, Partial<Declaration>][]) {
    it(`stops the start for ${what}, which only the document would show`, async () => {
      const extra: Route = { route: '/things', version: 2, methods: [method(change)] };
      let server: TestServer | undefined;
      const start = async () => {
        server = await startServer({ extraRoutes: [extra] });
      };
      try {
        expect((await failureOf(start)).message).to.include(`"${named}"`);
      } finally {
        await server?.stop();
      }
    });
  }
});

describe('the way of a request', () => {
  let server: TestServer;
  const seen: string[] = [];

  const routes: Route[] = [
    {
      route: '/probe/{projectID}',
      version: 2,
      methods: [
        {
          methodType: 'POST',
          prefetchFunctions: [
            async (context, connector, { projectID }) => {
              seen.push(`prefetch ${projectID ?? ''}`);
              const project = await connector.projects.load(projectID ?? '');
              if (project === undefined) return context;
              return {
                ...context,
                project: { id: project.id, rightsOf: (user: User) => rightsIn(project, user) },
              };
            },
          ],
          authenticator: new ProjectAdminAuthenticator(),
          requestHandler: defineHandler(
            {
              ...declaration,
              operationId: 'probe',
              params: Type.Object({ projectID: Type.String({ format: 'uuid' }) }, closed),
              query: Type.Object({ fail: Type.Optional(Type.String()) }, closed),
              body: Type.Object({ word: Type.String() }, closed),
              responses: {
                200: { description: 'What was said.', schema: Type.Object({ said: Type.String() }, closed) },
              },
              errors: ['forbidden', 'conflict'],
            },
            {
              parse: ({ body, query, context }) => {
                seen.push('parse');
                return {
                  word: body.word,
                  fail: query.fail,
                  user: mustHaveUser(context).name,
                  project: mustHaveProjectContext(context).id,
                };
              },
              execute: async (_connector, { word, fail, user, project }) => {
                seen.push('execute');
                if (fail === 'defect') throw new TypeError('secret: /etc/shadow');
                if (fail === 'wrapped')
                  throw new Error('outer', { cause: new ApiError('conflict', 'known') });
                await Promise.resolve();
                return { result: { said: `${user} of ${project}: ${word}` } };
              },
            },
          ),
        },
      ],
    },
    {
      route: '/quiet',
      methods: [
        {
          methodType: 'DELETE',
          authenticator: new RequireUserAuthenticator(),
          requestHandler: defineHandler(
            { ...declaration, operationId: 'quiet', responses: { 204: { description: 'Done.' } } },
            { parse: () => undefined, execute: () => ({}) },
          ),
        },
      ],
    },
  ];

  before(async () => {
    server = await startServer({ extraRoutes: routes, defectsExpected: true });
  });
  beforeEach(() => seen.splice(0));
  after(() => server.stop());

  it('is identify, path, prefetch, authenticate, query, body, parse, execute', async () => {
    const member = await addPerson(server.app, 'way-member');
    const admin = await addPerson(server.app, 'way-admin');
    const project = await addProject(server.app, { name: 'way', members: [member], admins: [admin] });
    const path = `/api/v2/probe/${project.id}`;
    const wrong = { body: { nonsense: 1 } };

    await new Api(server.url).refused('unauthorized', 'POST', path, wrong);
    expect(seen).to.deep.equal([]);
    await member.api.refused('invalid_parameter', 'POST', '/api/v2/probe/nonsense', wrong);
    expect(seen).to.deep.equal([]);
    await member.api.refused('forbidden', 'POST', `${path}?unknown=1`, wrong);
    expect(seen).to.deep.equal([`prefetch ${project.id}`]);
    await admin.api.refused('invalid_parameter', 'POST', `${path}?unknown=1`, wrong);
    await admin.api.refused('invalid_body', 'POST', path, wrong);
    expect(seen).to.deep.equal(Array(3).fill(`prefetch ${project.id}`));
    const reply = await admin.api.post(path, { word: 'hello' });
    expect(reply.body).to.deep.equal({ said: `way-admin of ${project.id}: hello` });
    expect(seen.slice(-3)).to.deep.equal([`prefetch ${project.id}`, 'parse', 'execute']);
  });

  it('keeps a hundred requests at once apart', async () => {
    const admin = await addPerson(server.app, 'apart-admin');
    const project = await addProject(server.app, { name: 'apart', admins: [admin] });
    const replies = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        admin.api.post<{ said: string }>(`/api/v2/probe/${project.id}`, { word: `w${index}` }),
      ),
    );
    const said = replies.map((reply) => reply.body.said.split(': ')[1]);
    expect(said).to.deep.equal(Array.from({ length: 100 }, (_, index) => `w${index}`));
  });

  it('turns a defect into 500 with nothing of it in the answer and all of it in the log', async () => {
    const { projectId } = server.catalog;
    const path = `/api/v2/probe/${projectId}?fail=defect`;
    const reply = await server.admin.call<{ code: string; message: string }>('POST', path, {
      body: { word: 'x' },
      failing: 500,
    });
    expect(reply.body.code).to.equal('internal');
    expect(reply.text).not.to.include('secret').and.not.to.include('TypeError');
    const logged = server.log.entries.find(
      (entry) => entry.details['requestId'] === reply.headers.get('x-request-id') && entry.level === 'error',
    );
    expect((logged?.details['err'] as Error).message).to.equal('secret: /etc/shadow');
  });

  it('finds the known error below a foreign one', async () => {
    const path = `/api/v2/probe/${server.catalog.projectId}?fail=wrapped`;
    const reply = await server.admin.refused('conflict', 'POST', path, { body: { word: 'x' } });
    expect(reply.body.message).to.equal('known');
  });

  it('ends in 204 without a body where there is nothing to say', async () => {
    const reply = await server.admin.delete('/quiet');
    expect(reply.status).to.equal(204);
    expect(reply.headers.has('content-type')).to.be.false;
  });
});
