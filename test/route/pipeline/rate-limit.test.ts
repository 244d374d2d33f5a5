/** Requests per user: the RateLimit fields (draft-ietf-httpapi-ratelimit-headers), 429, and the refill. */
import { expect } from 'chai';
import fc from 'fast-check';
import type { ServerResponse } from 'node:http';
import { ApiError } from '../../../src/model/error.js';
import { RateLimit } from '../../../src/route/pipeline/rate-limit.js';
import { Api, type Reply } from '../../support/conform.js';
import { addPerson } from '../../support/people.js';
import { startServer, type TestServer } from '../../support/server.js';

/** What the fields say; fails when they are not as the draft has them. */
function limitOf(headers: { get(name: string): string | null }) {
  const policy = /^"default";q=(\d+);w=(\d+)$/.exec(headers.get('ratelimit-policy') ?? '');
  const state = /^"default";r=(\d+);t=(\d+)$/.exec(headers.get('ratelimit') ?? '');
  expect(policy, 'RateLimit-Policy').not.to.be.null;
  expect(state, 'RateLimit').not.to.be.null;
  return {
    quota: Number(policy?.[1]),
    window: Number(policy?.[2]),
    remaining: Number(state?.[1]),
    reset: Number(state?.[2]),
  };
}

describe('the rate limit over HTTP', () => {
  const quota = 12;
  const window = 3600;
  const path = '/api/v2/projects';
  let server: TestServer;

  before(async () => {
    server = await startServer({ flags: { limits: { requests: quota, window } } });
  });
  after(() => server.stop());

  it('tells on each answer what is left, and when all of it is back', async () => {
    const { api } = await addPerson(server.app, 'counted');
    const targets = [
      path,
      '/api/v2/tasks',
      '/api/v2/instances/nonsense',
      '/api/v2/instances?wrong=1',
      '/api/version',
    ];
    for (const [index, target] of targets.entries()) {
      const { remaining, reset, ...policy } = limitOf((await api.get(target)).headers);
      expect(policy, target).to.deep.equal({ quota, window });
      expect(remaining, target).to.equal(quota - 1 - index);
      expect(reset, target).to.be.within((index * window) / quota + 1, ((index + 1) * window) / quota);
    }
  });

  it('refuses with 429 once the quota is used up, and says when to come again', async () => {
    const { api } = await addPerson(server.app, 'greedy');
    for (let n = 0; n < quota; n += 1) expect((await api.get(path)).status).to.equal(200);
    const tries = [
      ['GET', path],
      ['HEAD', path],
      ['POST', '/api/v2/instances'],
      ['GET', '/api/v2/instances/nonsense'],
    ] as const;
    for (const [method, target] of tries) {
      const reply: Reply = await api.call(method, target);
      expect(reply.status, `${method} ${target}`).to.equal(429);
      expect(reply.headers.get('x-error-code')).to.equal('rate_limited');
      const { remaining, reset } = limitOf(reply.headers);
      expect(remaining).to.equal(0);
      const after = reply.headers.get('retry-after') ?? '';
      expect(after).to.match(/^\d+$/);
      expect(Number(after))
        .to.equal(reset)
        .and.to.be.within(1, window / quota);
    }
    const refused = await api.refused('rate_limited', 'GET', path);
    expect(refused.body.retryable).to.be.true;
  });

  it('counts each user separately, however the key is sent, and no one on open routes', async () => {
    const busy = await addPerson(server.app, 'busy');
    const other = await addPerson(server.app, 'other');
    const inPieces = new Api(server.url, { 'Api-User': busy.name, 'Api-Key': busy.key });
    for (let n = 0; n < quota; n += 2) {
      await busy.api.get(path);
      await inPieces.get(path);
    }
    await busy.api.refused('rate_limited', 'GET', path);
    await inPieces.refused('rate_limited', 'GET', path);
    expect(limitOf((await other.api.get(path)).headers).remaining).to.equal(quota - 1);
    for (const target of [
      '/health',
      '/ready',
      '/openapi.json',
      '/metrics',
      '/.well-known/oauth-protected-resource',
    ]) {
      const reply = await busy.api.get(target);
      expect(reply.status, target).to.equal(200);
      expect(reply.headers.has('ratelimit'), target).to.be.false;
    }
  });

  it('does not let a wrong key use up the quota of its owner', async () => {
    const { api, name } = await addPerson(server.app, 'impersonated');
    const thief = new Api(server.url, { 'Api-User': name, 'Api-Key': 'x'.repeat(43) });
    for (let n = 0; n < quota + 3; n += 1) await thief.refused('unauthorized', 'GET', path);
    expect(limitOf((await api.get(path)).headers).remaining).to.equal(quota - 1);
  });
});

describe('the rate limit when it is off', () => {
  it('neither counts nor says anything', async () => {
    const server = await startServer({ flags: { limits: { requests: 0 } } });
    try {
      const replies = await Promise.all(
        Array.from({ length: 50 }, () => server.admin.get('/api/v2/projects')),
      );
      for (const { status, headers } of replies) {
        expect([status, headers.has('ratelimit'), headers.has('ratelimit-policy')]).to.deep.equal([
          200,
          false,
          false,
        ]);
      }
    } finally {
      await server.stop();
    }
  });
});

describe('RateLimit.take', () => {
  /** Takes at a time; the fields that were set, and the seconds after which to come again when it was refused. */
  function takeAt(limit: RateLimit, now: number, caller = 'caller') {
    const fields = new Map<string, string>();
    const response = { setHeader: (name: string, value: string) => fields.set(name.toLowerCase(), value) };
    let after: number | undefined;
    try {
      limit.take(response as unknown as ServerResponse, caller, now);
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 'rate_limited') throw error;
      after = Number(error.headers['Retry-After']);
    }
    return { after, ...limitOf({ get: (name) => fields.get(name) ?? null }) };
  }

  it('gives back one request after each interval, and all of them after a window', () => {
    const limit = new RateLimit({ requests: 10, window: 60 });
    const start = 1_000_000;
    for (let n = 9; n >= 0; n -= 1)
      expect(takeAt(limit, start)).to.include({ after: undefined, remaining: n });
    expect(takeAt(limit, start).after).to.equal(6);
    expect(takeAt(limit, start + 5_999).after).to.equal(1);
    expect(takeAt(limit, start + 6_000)).to.include({ after: undefined, remaining: 0, reset: 60 });
    expect(takeAt(limit, start + 6_000).after).to.equal(6);
    expect(takeAt(limit, start + 6_000 + 60_000)).to.include({ after: undefined, remaining: 9, reset: 6 });
  });

  it('does not count what it refuses', () => {
    const limit = new RateLimit({ requests: 2, window: 10 });
    for (let n = 0; n < 100; n += 1) takeAt(limit, 0);
    expect(takeAt(limit, 5_000).after).to.be.undefined;
  });

  it('survives a clock that is set back', () => {
    const limit = new RateLimit({ requests: 3, window: 3 });
    takeAt(limit, 100_000);
    const { after } = takeAt(limit, 0);
    expect(after ?? 0).to.be.at.least(0);
    expect(takeAt(limit, 200_000).after).to.be.undefined;
  });

  it('never lets more through in any stretch of time than the quota and what it gives back meanwhile', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 30 }),
        fc.array(fc.integer({ min: 0, max: 4000 }), { maxLength: 80 }),
        (requests, window, pauses) => {
          const limit = new RateLimit({ requests, window });
          const passed: number[] = [];
          let now = 0;
          for (const pause of pauses) {
            now += pause;
            const { after, remaining, reset } = takeAt(limit, now);
            expect(remaining).to.be.within(0, requests - 1);
            expect(reset).to.be.within(1, window);
            if (after === undefined) passed.push(now);
            else {
              expect(after).to.be.at.least(1);
              // A caller that retries after Retry-After is served, unless it has sent a request in between.
              const later = new RateLimit({ requests, window });
              for (const time of passed) takeAt(later, time);
              expect(takeAt(later, now + after * 1000).after).to.be.undefined;
            }
          }
          const interval = (window * 1000) / requests;
          for (const [first, from] of passed.entries()) {
            for (const [index, to] of passed.entries()) {
              if (index < first) continue;
              expect(index - first + 1).to.be.at.most(requests + Math.floor((to - from) / interval + 1e-6));
            }
          }
        },
      ),
      { numRuns: 300, seed: 3 },
    );
  });

  it('is exact at any time of a clock that counts fractions', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 7200 }),
        fc.double({ min: 0, max: 1e9, noNaN: true }),
        (requests, window, now) => {
          const limit = new RateLimit({ requests, window });
          for (let taken = 1; taken <= requests; taken += 1) {
            const { after, remaining, reset } = takeAt(limit, now);
            expect(after).to.be.undefined;
            expect(remaining).to.equal(requests - taken);
            expect(reset).to.equal(Math.ceil((taken * window) / requests));
          }
          expect(takeAt(limit, now).after).to.be.a('number');
        },
      ),
      { numRuns: 300, seed: 3 },
    );
  });

  it('does not forget a caller that has used up its quota, however many others come', () => {
    const limit = new RateLimit({ requests: 2, window: 60 });
    takeAt(limit, 0, 'greedy');
    takeAt(limit, 0, 'greedy');
    for (let n = 0; n < 10_100; n += 1) takeAt(limit, 1, `other-${n}`);
    expect(takeAt(limit, 2, 'greedy').after).to.be.a('number');
  });
});
