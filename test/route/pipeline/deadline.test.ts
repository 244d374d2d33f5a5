/** The time limit of a request, on a server whose ports hang: an answer comes in any case, and no work begins too late. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Router from '@koa/router';
import { expect } from 'chai';
import Koa from 'koa';
import { Type } from 'typebox';
import { passingTracer } from '../../../src/model/trace.js';
import type { Interruption } from '../../../src/model/interruption.js';
import { NoAuthAuthenticator, RequireUserAuthenticator } from '../../../src/route/pipeline/authenticator.js';
import { bodyReader } from '../../../src/route/pipeline/body.js';
import { CursorCodec } from '../../../src/route/pipeline/cursor.js';
import { requestHandler } from '../../../src/route/pipeline/handler.js';
import type { Claim } from '../../../src/route/pipeline/idempotency.js';
import { errorBoundary, requestScope } from '../../../src/route/pipeline/middleware.js';
import { RateLimit } from '../../../src/route/pipeline/rate-limit.js';
import { openApiDocument } from '../../../src/route/pipeline/openapi.js';
import { type PrefetchFunc, register, type RouteManager } from '../../../src/route/pipeline/route-manager.js';
import { type PipelineEnvironment, serve } from '../../../src/route/pipeline/serve.js';
import { checkedFetch, learnDocument, type OpenApi } from '../../support/conform.js';
import { eventually } from '../../support/eventually.js';
import { converse } from '../../support/fuzz-socket.js';
import { RecordingLog } from '../../support/log.js';

const limit = 150;
const forever = <R>() => new Promise<R>(() => undefined);
const anyone = new NoAuthAuthenticator();

describe('the time limit of a request', () => {
  let server: Server;
  let url: string;
  let executed = 0;
  const log = new RecordingLog();
  /** What the port to kept answers does. */
  let claims: () => Promise<Claim>;
  const released: string[] = [];
  /** What identification and prefetch were given. */
  let identifying: Interruption | undefined;
  let fetching: AbortSignal | undefined;
  const claim = (more: Partial<Claim> = {}): Claim => ({
    answer: undefined,
    writes: () => [],
    finish: () => Promise.resolve(),
    release: () => Promise.resolve(void released.push('released')),
    ...more,
  });

  const environment: PipelineEnvironment<object> = {
    connector: {},
    cursors: new CursorCodec(Buffer.alloc(32)),
    publicUrl: () => url,
    identify: (_headers, interruption) => {
      identifying = interruption;
      return forever();
    },
    readBody: bodyReader(1024),
    rateLimit: new RateLimit({ requests: 0, window: 60 }),
    idempotency: { begin: () => claims() },
  };

  const answered = { 204: { description: 'Done.' } };
  const counting = (operationId: string, wait = 0) =>
    requestHandler<object>()(
      { operationId, summary: 'Counts', tags: ['test'], body: Type.Object({}), responses: answered },
      {
        parse: () => undefined,
        execute: async () => {
          executed += 1;
          if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
          return {};
        },
      },
    );

  before(async () => {
    const router = new Router();
    const plain = { methodType: 'POST', authenticator: anyone } as const;
    const identified = { ...plain, authenticator: new RequireUserAuthenticator() };
    const prefetch: PrefetchFunc<object> = ({ signal }) => {
      fetching = signal;
      return forever<undefined>();
    };
    const prefetched = { ...plain, prefetchFunctions: [prefetch] };
    const routes: RouteManager<object>[] = [
      { route: '/plain', methods: [{ ...plain, requestHandler: counting('a') }] },
      { route: '/long', methods: [{ ...plain, requestHandler: counting('b', 400) }] },
      { route: '/user', methods: [{ ...identified, requestHandler: counting('c') }] },
      { route: '/fetch', methods: [{ ...prefetched, requestHandler: counting('d') }] },
    ];
    for (const route of routes) register(router, route, serve(environment));
    const options = {
      log,
      observe: () => undefined,
      publicUrl: () => url,
      tracer: passingTracer,
      timeout: limit,
      draining: () => false,
    };
    const koa = new Koa();
    koa.use(requestScope(options));
    koa.use(errorBoundary(options));
    koa.use(router.routes());
    const handle = koa.callback();
    server = createServer((request, response) => void handle(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const about = { title: 'Counting', version: '1', description: 'Counts.', serverUrl: url, examples: {} };
    await learnDocument(url, openApiDocument(routes, about) as unknown as OpenApi);
  });
  beforeEach(() => {
    executed = 0;
    released.length = 0;
    claims = () => Promise.resolve(claim());
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  const ask = async (target: string, headers: Record<string, string> = {}) => {
    const reply = await checkedFetch(url + target, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: '{}',
      signal: AbortSignal.timeout(1900),
    });
    const code = reply.headers.get('x-error-code');
    return { status: reply.status, code };
  };

  it('ends what hangs before the work: the identification, a prefetch, the look for a kept answer', async () => {
    claims = () => forever();
    for (const [target, headers] of [
      ['/user', {}],
      ['/fetch', {}],
      ['/plain', { 'Idempotency-Key': 'a' }],
    ] as const) {
      const { status, code } = await ask(target, headers);
      expect([status, code], target).to.deep.equal([503, 'deadline_exceeded']);
    }
    expect(executed).to.equal(0);
    for (const given of [identifying, fetching])
      expect(given?.reason).to.include({ code: 'deadline_exceeded' });
  });

  it('ends what hangs behind the work: the keeping of the answer, or the release of the key', async () => {
    claims = () => Promise.resolve(claim({ finish: () => forever() }));
    expect((await ask('/plain', { 'Idempotency-Key': 'a' })).code).to.equal('deadline_exceeded');
    claims = () => Promise.resolve(claim({ release: () => forever() }));
    expect((await ask('/long', { 'Idempotency-Key': 'a' })).code).to.equal('deadline_exceeded');
    expect(executed).to.equal(2);
  });

  it('gives up a key that is claimed too late, for nobody does its work', async () => {
    claims = () => new Promise((resolve) => setTimeout(() => resolve(claim()), limit * 2));
    expect((await ask('/plain', { 'Idempotency-Key': 'a' })).code).to.equal('deadline_exceeded');
    expect(released).to.deep.equal([]);
    await eventually(() => released.length === 1);
    expect(executed).to.equal(0);
  });

  it('frees the key before the refusal of work that took too long', async () => {
    expect((await ask('/long', { 'Idempotency-Key': 'a' })).code).to.equal('deadline_exceeded');
    expect(released).to.deep.equal(['released']);
  });

  it('begins no work when it has passed while the body came', async () => {
    const head =
      'POST /plain HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{';
    const late = () => new Promise<void>((resolve) => setTimeout(resolve, limit * 2));
    const { replies } = await converse(url, [head, late, '}'], { answers: 1 });
    expect([replies[0]?.status, executed]).to.deep.equal([503, 0]);
    expect((await ask('/plain')).status).to.equal(204);
    expect(executed).to.equal(1);
  });

  it('is not lengthened by Prefer: wait where the route does not wait', async () => {
    expect((await ask('/long', { Prefer: 'wait=1' })).code).to.equal('deadline_exceeded');
  });
});
