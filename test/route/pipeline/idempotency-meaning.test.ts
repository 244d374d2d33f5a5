/** What is the same request under an Idempotency-Key: what means the same, however it is written. */
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { Type } from 'typebox';
import { IdempotencyData } from '../../../src/data/idempotency.js';
import { ownerName } from '../../../src/data/owner.js';
import { type ErrorCode, errorCodes } from '../../../src/model/error.js';
import { RequireUserAuthenticator } from '../../../src/route/pipeline/authenticator.js';
import { defineHandler, type Route } from '../../../src/route/route.js';
import type { Reply } from '../../support/conform.js';
import { eventually } from '../../support/eventually.js';
import { adminKey, startServer, type TestServer } from '../../support/server.js';

const path = '/api/v2/instances';
const closed = { additionalProperties: false };
let done = 0;
const counting: Route = {
  route: '/count/{name}',
  methods: [
    {
      methodType: 'POST',
      authenticator: new RequireUserAuthenticator(),
      requestHandler: defineHandler(
        {
          operationId: 'count',
          summary: 'Counts',
          tags: ['test'],
          params: Type.Object({ name: Type.String() }, closed),
          query: Type.Object(
            {
              a: Type.Optional(Type.Integer()),
              b: Type.Optional(Type.Array(Type.String())),
              c: Type.Optional(Type.Boolean({ default: false })),
            },
            closed,
          ),
          body: Type.Object(
            {
              n: Type.Optional(Type.Number()),
              list: Type.Optional(Type.Array(Type.Unknown())),
              dryRun: Type.Optional(Type.Boolean({ default: false })),
              inner: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
            },
            closed,
          ),
          responses: { 200: { description: 'The count.', schema: Type.Integer() } },
        },
        {
          parse: () => undefined,
          execute: () => {
            done += 1;
            return { result: done };
          },
        },
      ),
    },
  ],
};

describe('the same request under an Idempotency-Key', () => {
  let server: TestServer;
  const json = { 'Content-Type': 'application/json' };
  const replayed = (reply: Reply) => reply.headers.get('idempotency-replayed') === 'true';
  const send = (key: string, target: string, raw: string, more: Record<string, string> = {}) =>
    server.admin.call<number>('POST', target, {
      raw: Buffer.from(raw),
      headers: { ...json, 'Idempotency-Key': key, ...more },
    });

  before(async () => {
    server = await startServer({ extraRoutes: [counting] });
  });
  after(() => server.stop());

  const same: [string, [string, string], [string, string]][] = [
    [
      'members in another order',
      ['', '{"n":1,"inner":{"x":1,"y":[{"p":1,"q":2}]}}'],
      ['', '{"inner":{"y":[{"q":2,"p":1}],"x":1},"n":1}'],
    ],
    ['blanks', ['', '{"n":1}'], ['', ' {\r\n\t"n" : 1 }\n']],
    ['a byte order mark', ['', '{"n":1}'], ['', '\ufeff{"n":1}']],
    ['1 and 1.0', ['', '{"n":1}'], ['', '{"n":1.0}']],
    ['1e2 and 100', ['', '{"n":1e2}'], ['', '{"n":100}']],
    ['0 and -0', ['', '{"n":0}'], ['', '{"n":-0}']],
    ['escapes', ['', '{"inner":{"é/":"A"}}'], ['', '{"inner":{"\\u00e9\\/":"\\u0041"}}']],
    ['a member that is given twice', ['', '{"n":2}'], ['', '{"n":1,"n":2}']],
    [
      'names that are numbers',
      ['', '{"inner":{"2":0,"10":0,"a":0}}'],
      ['', '{"inner":{"a":0,"10":0,"2":0}}'],
    ],
    [
      'a name that objects have',
      ['', '{"inner":{"__proto__":1,"a":2}}'],
      ['', '{"inner":{"a":2,"__proto__":1}}'],
    ],
    ['a default that is said', ['', '{"n":1}'], ['', '{"n":1,"dryRun":false}']],
    ['query parameters in another order', ['?a=1&b=x', '{}'], ['?b=x&a=1', '{}']],
    ['another spelling of the query', ['?a=1&b=x%20y', '{}'], ['?b=%78+y&a=%31', '{}']],
    ['a number with a sign in the query', ['?a=7', '{}'], ['?a=%2B7', '{}']],
    ['a default that is said in the query', ['', '{}'], ['?c=false', '{}']],
  ];
  for (const [what, [firstQuery, firstBody], [query, body]] of same) {
    it(`is one with ${what}: the repeat gets its answer`, async () => {
      const key = randomUUID();
      const first = await send(key, `/count/me${firstQuery}`, firstBody);
      expect(first.status, first.text).to.equal(200);
      const again = await send(key, `/count/me${query}`, body);
      expect([again.status, replayed(again), again.body], again.text).to.deep.equal([200, true, first.body]);
    });
  }

  const other: [string, [string, string], [string, string]][] = [
    ['another value', ['', '{"n":1}'], ['', '{"n":2}']],
    ['a list in another order', ['', '{"list":[1,2]}'], ['', '{"list":[2,1]}']],
    ['a list within a list', ['', '{"list":[[1],2]}'], ['', '{"list":[1,[2]]}']],
    ['a text for a number', ['', '{"list":[1]}'], ['', '{"list":["1"]}']],
    ['null for nothing', ['', '{"list":[]}'], ['', '{"list":[null]}']],
    ['a member more', ['', '{"inner":{}}'], ['', '{"inner":{"a":null}}']],
    ['a default that is not said', ['', '{"dryRun":true}'], ['', '{}']],
    ['values of the query in another order', ['?b=x&b=y', '{}'], ['?b=y&b=x', '{}']],
    ['a member in the query', ['?a=1', '{}'], ['', '{"n":1}']],
  ];
  for (const [what, [firstQuery, firstBody], [query, body]] of other) {
    it(`is none with ${what}: 422`, async () => {
      const key = randomUUID();
      expect((await send(key, `/count/me${firstQuery}`, firstBody)).status).to.equal(200);
      const again = await send(key, `/count/me${query}`, body);
      expect(again.headers.get('x-error-code')).to.equal('idempotency_mismatch');
    });
  }

  it('is one though its path is spelt in another way, and its body comes in another form', async () => {
    const key = randomUUID();
    const first = await send(key, '/count/me', '{"n":1}');
    const again = await send(key, '/count/%6De', '{"n":1}', {
      'Content-Type': 'Application/JSON;charset="UTF-8"',
      Prefer: 'wait=1',
      'X-Request-Id': 'another',
    });
    expect([replayed(again), again.body]).to.deep.equal([true, first.body]);
    expect(replayed(await send(key, '/count/you', '{"n":1}'))).to.be.false;
  });

  it('is one across an upgrade: an older program kept the bytes, not the meaning', async () => {
    const admin = await server.app.connector.users.identify(adminKey);
    const older = new IdempotencyData(server.app.store, ownerName());
    const operation = 'POST /count/older';
    const body = { n: 1, inner: { b: 1, a: 2 } };
    const content = JSON.stringify([{ b: ['x'], a: 1 }, body]);
    const claim = await older.begin({ userId: admin?.id ?? '', key: 'older', operation, content });
    await claim.finish({ status: 200, headers: { 'Content-Type': 'application/json' }, body: '777' });
    older.close();
    const again = await send('older', '/count/older?b=x&a=1', JSON.stringify(body));
    expect([again.status, replayed(again), again.body]).to.deep.equal([200, true, 777]);
    const changed = await send('older', '/count/older?b=x&a=1', '{"n":2}');
    expect(changed.headers.get('x-error-code')).to.equal('idempotency_mismatch');
  });

  describe('that was refused', () => {
    const withKey = (key: string, more: Record<string, string> = {}) => ({
      headers: { 'Idempotency-Key': key, ...more },
    });

    it('for a name that was taken while a delete ran does its work when the name is free', async () => {
      const { metadata } = await server.running('reborn');
      server.cloud.program({ verb: 'deleteServer', delay: 200, times: 1 });
      await server.admin.delete(`${path}/${metadata.id}`);
      const body = server.instanceBody('reborn');
      const key = randomUUID();
      await server.admin.refused('name_taken', 'POST', path, { body, ...withKey(key) });
      await eventually(async () => (await server.admin.get(`${path}/${metadata.id}`)).status === 404);
      const made = await server.admin.post(path, body, withKey(key));
      expect([made.status, replayed(made)], made.text).to.deep.equal([201, false]);
      expect(replayed(await server.admin.post(path, body, withKey(key)))).to.be.true;
    });

    it('for the power state does its work when that is another', async () => {
      const { metadata } = await server.running('later');
      const start = `${path}/${metadata.id}/start`;
      const key = randomUUID();
      await server.admin.refused('power_state_conflict', 'POST', start, withKey(key));
      await server.admin.post(`${path}/${metadata.id}/stop`);
      await server.settled(metadata.id, ({ status }) => status.powerState === 'Stopped');
      const started = await server.admin.post(start, undefined, withKey(key));
      expect([started.status, replayed(started)], started.text).to.deep.equal([202, false]);
    });

    it('for its precondition does its work with the right one', async () => {
      const { metadata } = await server.running('tagged');
      const stop = `${path}/${metadata.id}/stop`;
      const key = randomUUID();
      const wrong = withKey(key, { 'If-Match': '"999"' });
      await server.admin.refused('precondition_failed', 'POST', stop, wrong);
      const { headers } = await server.admin.get(`${path}/${metadata.id}`);
      const right = withKey(key, { 'If-Match': headers.get('etag') ?? '' });
      const stopped = await server.admin.post(stop, undefined, right);
      expect([stopped.status, replayed(stopped)], stopped.text).to.deep.equal([202, false]);
    });
  });

  it('says in the document where a refusal can be one that was kept', async () => {
    const { body } = await server.admin.get<{ paths: Record<string, { post?: { responses: Responses } }> }>(
      '/openapi.json',
    );
    const stop = body.paths[`${path}/{instanceID}/stop`]?.post?.responses ?? {};
    expect(stop['409']?.headers).not.to.have.property('Idempotency-Replayed');
    expect(stop['412']?.headers).not.to.have.property('Idempotency-Replayed');
    expect(stop['400']?.headers).to.have.property('Idempotency-Replayed');
  });
});

type Responses = Record<string, { headers: Record<string, unknown> }>;

describe('the table of error codes', () => {
  it('keeps under an Idempotency-Key only what is wrong with the request itself', () => {
    const kept: ErrorCode[] = [
      ...([
        'malformed_json',
        'malformed_body',
        'invalid_body',
        'invalid_parameter',
        'invalid_cursor',
        'invalid_reference',
      ] as const),
      ...(['method_not_allowed', 'events_expired', 'gone', 'too_large', 'uri_too_long'] as const),
      ...(['unsupported_media_type', 'expectation_failed', 'unprocessable', 'idempotency_mismatch'] as const),
      'headers_too_large',
    ];
    const lasting = (Object.keys(errorCodes) as ErrorCode[]).filter((code) => errorCodes[code].lasting);
    expect(lasting.sort()).to.deep.equal(kept.sort());
    for (const [code, { status, retryable, lasting: kept }] of Object.entries(errorCodes)) {
      if (retryable || status >= 500 || [401, 403, 404, 409, 412].includes(status))
        expect(kept, code).to.be.false;
    }
  });
});
