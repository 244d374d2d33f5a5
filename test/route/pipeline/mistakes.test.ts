/** Mistakes of our own code at run time: they too are answered in the one shape, and leave nothing behind. */
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { Type } from 'typebox';
import { ApiError, type ErrorCode, type FieldError } from '../../../src/model/error.js';
import { type Instance, InstanceCreate } from '../../../src/model/instance.js';
import { callerOf } from '../../../src/route/caller.js';
import { RequireUserAuthenticator } from '../../../src/route/pipeline/authenticator.js';
import { type ResponseData, StreamBody } from '../../../src/route/pipeline/response.js';
import { defineHandler, type Route } from '../../../src/route/route.js';
import type { ErrorAnswer } from '../../support/conform.js';
import { eventually } from '../../support/eventually.js';
import { startServer, type TestServer } from '../../support/server.js';

const path = '/api/v2/instances';

function cycle(): unknown {
  const one: Record<string, unknown> = {};
  one['itself'] = one;
  return one;
}

function fail(thrown: unknown): never {
  throw thrown;
}

const coded = (code: string, headers: Record<string, string> = {}) =>
  new ApiError(code as ErrorCode, 'the secret of the inside', { headers });

const mistakes: Record<string, () => ResponseData> = {
  'an unknown error code': () => fail(coded('no_such_code')),
  'an error code that objects have': () => fail(coded('toString')),
  'an unknown error code below another error': () =>
    fail(new Error('outer', { cause: coded('no_such_code') })),
  'a line break in a header field of an error': () => fail(coded('conflict', { 'Retry-After': '1\r\nX: y' })),
  'letters that no header field takes, in an error': () => fail(coded('unprocessable', { Link: '例え' })),
  'an error that has no JSON': () =>
    fail(new ApiError('unprocessable', 'x', { errors: [{ message: 1n } as unknown as FieldError] })),
  'a text that is thrown': () => fail('the secret of the inside'),
  'nothing that is thrown': () => fail(undefined),
  'a status that is not declared': () => ({ result: {}, metadata: { status: 299 } }),
  'a status that is an error': () => ({ result: {}, metadata: { status: 418 } }),
  'a status that HTTP does not have': () => ({ result: {}, metadata: { status: 42 } }),
  'no result where one is declared': () => ({}),
  'a bigint': () => ({ result: 1n }),
  'a cycle': () => ({ result: cycle() }),
  'a function': () => ({ result: () => 1 }),
  'a line break in Location': () => ({ result: {}, metadata: { location: '/a\r\nX-Evil: 1' } }),
  'letters that Location cannot have': () => ({ result: {}, metadata: { location: '/例え' } }),
  'a tag that no header field takes': () => ({ result: {}, metadata: { revision: 'a\nb' } }),
};

const route: Route = {
  route: '/mistakes',
  methods: [
    {
      methodType: 'POST',
      authenticator: new RequireUserAuthenticator(),
      requestHandler: defineHandler(
        {
          operationId: 'mistake',
          summary: 'Makes a mistake',
          tags: ['test'],
          body: Type.Object({ kind: Type.String() }, { additionalProperties: false }),
          responses: { 200: { description: 'Never.', schema: Type.Object({}) } },
        },
        {
          parse: ({ body }) => body.kind,
          execute: (_connector, kind) =>
            kind === 'a stream'
              ? { result: new StreamBody('text/plain', () => fail(new Error('never opened'))) }
              : (mistakes[kind]?.() ?? { result: {} }),
        },
      ),
    },
  ],
};

/** Creates an instance and would answer with what cannot be sent. */
const careless: Route = {
  route: '/careless',
  methods: [
    {
      methodType: 'POST',
      authenticator: new RequireUserAuthenticator(),
      requestHandler: defineHandler(
        {
          operationId: 'createCarelessly',
          summary: 'Creates carelessly',
          tags: ['test'],
          query: Type.Object({ mistake: Type.String() }, { additionalProperties: false }),
          body: InstanceCreate,
          responses: { 201: { description: 'Never.', headers: ['Location'] } },
        },
        {
          parse: ({ body, query, context }) => {
            const answer = () => ({ metadata: { status: 201 }, ...mistakes[query.mistake]?.() });
            return { body, answer, caller: callerOf(context, answer) };
          },
          execute: async (connector, { caller, body, answer }) => {
            await connector.instances.create(caller, body);
            return answer();
          },
        },
      ),
    },
  ],
};

describe('a mistake in code at run time', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ extraRoutes: [route, careless], defectsExpected: true });
  });
  after(() => server.stop());

  const ask = (kind: string, key?: string) =>
    server.admin.post<ErrorAnswer>(
      '/mistakes',
      { kind },
      { failing: 500, headers: key === undefined ? {} : { 'Idempotency-Key': key } },
    );

  for (const kind of [...Object.keys(mistakes), 'a stream']) {
    it(`is answered in the shape of all errors, and told in the log: ${kind}`, async () => {
      const key = randomUUID();
      for (const one of kind === 'a stream' ? [key, key] : [undefined, key, key]) {
        const reply = await ask(kind, one);
        expect(reply.status, reply.text).to.equal(500);
        expect(reply.body.code).to.equal('internal');
        expect(reply.text).not.to.include('secret');
        expect(reply.headers.get('x-error-code')).to.equal('internal');
        const { requestId } = reply.body;
        expect(requestId).to.equal(reply.headers.get('x-request-id'));
        for (const name of ['location', 'etag', 'retry-after', 'link'])
          expect(reply.headers.get(name), name).to.be.null;
        await eventually(() => {
          const told = server.log.entries.filter(({ details }) => details['requestId'] === requestId);
          const failed = told.filter(({ message }) => message === 'request failed');
          expect(failed.map(({ level }) => level)).to.include('error');
          const line = told.find(({ message }) => message === 'request');
          expect(line?.details).to.include({ status: 500, code: 'internal' });
          return true;
        });
      }
    });
  }

  for (const mistake of [
    'a line break in Location',
    'letters that Location cannot have',
    'a status that is not declared',
    'a bigint',
    'a cycle',
  ]) {
    it(`in an answer is noticed before the change is stored: ${mistake}`, async () => {
      for (const headers of [{}, { 'Idempotency-Key': randomUUID() }]) {
        const name = `careless-${randomUUID().slice(0, 8)}`;
        const target = `/careless?mistake=${encodeURIComponent(mistake)}`;
        const reply = await server.admin.post(target, server.instanceBody(name), { failing: 500, headers });
        expect(reply.status, reply.text).to.equal(500);
        const { body } = await server.admin.get<Instance[]>(`${path}?limit=1000`);
        expect(body.map(({ metadata }) => metadata.name)).not.to.include(name);
      }
    });
  }
});
