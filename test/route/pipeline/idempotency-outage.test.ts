/** Idempotency-Key while the store is away: what was taken is given back, and what was done is told. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Type } from 'typebox';
import { ApiError } from '../../../src/model/error.js';
import type { Instance } from '../../../src/model/instance.js';
import { RequireUserAuthenticator } from '../../../src/route/pipeline/authenticator.js';
import { defineHandler, type Route } from '../../../src/route/route.js';
import { eventually } from '../../support/eventually.js';
import { cut } from '../../support/outage.js';
import { startServer, type TestServer } from '../../support/server.js';

let entered = 0;
let whileAtWork: () => unknown = () => undefined;
const work: Route = {
  route: '/work',
  methods: [
    {
      methodType: 'POST',
      authenticator: new RequireUserAuthenticator(),
      requestHandler: defineHandler(
        {
          operationId: 'work',
          summary: 'Works',
          tags: ['test'],
          body: Type.Object({ end: Type.String() }, { additionalProperties: false }),
          responses: { 204: { description: 'Done.' } },
          errors: ['instance_busy', 'unprocessable'],
        },
        {
          parse: ({ body }) => body.end,
          execute: async (_connector, end) => {
            entered += 1;
            await whileAtWork();
            if (end !== 'good') throw new ApiError(end as 'instance_busy', 'Not now.');
            return {};
          },
        },
      ),
    },
  ],
};

describe('an Idempotency-Key', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ extraRoutes: [work], flags: { tasks: { lease: 60 } } });
  });
  after(() => server.stop());
  beforeEach(() => {
    entered = 0;
    whileAtWork = () => undefined;
  });

  const ask = (key: string, end: string) =>
    // One request id for all: a kept refusal bears that of the first.
    server.admin.post('/work', { end }, { headers: { 'Idempotency-Key': key, 'X-Request-Id': key } });

  it('is free as soon as the store is back, when its release failed', async () => {
    const key = randomUUID();
    let mend: () => void = () => undefined;
    whileAtWork = () => (mend = cut(server.app.store, 'write'));
    try {
      expect((await ask(key, 'instance_busy')).headers.get('x-error-code')).to.equal('instance_busy');
    } finally {
      mend();
    }
    whileAtWork = () => undefined;
    expect((await ask(key, 'instance_busy')).headers.get('x-error-code')).to.equal('instance_busy');
    expect(entered).to.equal(2);
  });

  for (const [end, status] of [
    ['good', 204],
    ['unprocessable', 422],
  ] as const) {
    it(`gives its answer though that could not be kept, and keeps it when the store is back: ${status}`, async () => {
      const key = randomUUID();
      let mend: () => void = () => undefined;
      whileAtWork = () => (mend = cut(server.app.store, 'write'));
      try {
        expect((await ask(key, end)).status).to.equal(status);
      } finally {
        mend();
      }
      await eventually(async () => {
        const reply = await ask(key, end);
        expect([reply.status, reply.headers.get('idempotency-replayed')]).to.deep.equal([status, 'true']);
        return true;
      });
      expect(entered).to.equal(1);
    });
  }
});

describe('an Idempotency-Key that another process works under', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'copse-test-'));
  /** Seconds; more than a busy machine keeps a process waiting, or the key is rightly taken. */
  const lease = 3;
  const flags = { store: 'sqlite:shared.sqlite', tasks: { lease } };
  const servers: TestServer[] = [];
  before(async () => {
    for (const regions of [['simulated'], ['other=simulated']])
      servers.push(
        await startServer({
          dataDir,
          extraRoutes: [work],
          flags: { ...flags, regions },
          defectsExpected: true,
        }),
      );
  });
  after(async () => {
    for (const server of servers) await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('is not taken from it right after an outage that was longer than a lease', async () => {
    const [holder, other] = servers as [TestServer, TestServer];
    const options = { headers: { 'Idempotency-Key': randomUUID() } };
    let finish: () => void = () => undefined;
    const finished = new Promise<void>((resolve) => (finish = resolve));
    whileAtWork = () => finished;
    entered = 0;
    const asked = holder.admin.post('/work', { end: 'good' }, options);
    await eventually(() => entered === 1);
    const repeat = () => other.admin.post('/work', { end: 'good' }, options);
    const refused = async () => {
      expect((await repeat()).headers.get('x-error-code')).to.equal('idempotency_in_progress');
    };
    await refused();
    const mends = [cut(holder.app.store, 'write'), cut(other.app.store, 'lastChange')];
    const began = performance.now();
    await eventually(async () => (await other.admin.get('/ready', { failing: 503 })).status === 503);
    await eventually(() => performance.now() - began > 1.5 * lease * 1000);
    for (const mend of mends) mend();
    await refused();
    await eventually(async () => (await other.admin.get('/ready', { failing: 503 })).status === 200);
    await refused();
    finish();
    expect((await asked).status).to.equal(204);
    expect((await repeat()).status).to.equal(204);
    expect(entered).to.equal(1);
  });
});

describe('a change that is stored', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('is told as accepted when the store goes away while the client waits for its end', async () => {
    server.cloud.program({ verb: 'ensureServer', delay: 200, times: 1 });
    const asked = server.admin.post<Instance>('/api/v2/instances', server.instanceBody('waits'), {
      headers: { Prefer: 'wait=10' },
    });
    await eventually(async () => (await server.admin.get<Instance[]>('/api/v2/instances')).body.length === 1);
    const mend = cut(server.app.store, 'text');
    try {
      const reply = await asked;
      expect(reply.status, reply.text).to.equal(201);
      expect(reply.body.status.powerState).to.equal('Pending');
    } finally {
      mend();
    }
  });

  it('is told as accepted also where a task carries it out', async () => {
    const { metadata } = await server.running('stops');
    server.cloud.program({ verb: 'stopServer', delay: 300, times: 1 });
    const asked = server.admin.post(`/api/v2/instances/${metadata.id}/stop`, undefined, {
      headers: { Prefer: 'wait=10' },
    });
    await eventually(() => server.cloud.history(metadata.id).some(({ verb }) => verb === 'stopServer'));
    const mend = cut(server.app.store, 'text');
    try {
      const reply = await asked;
      expect(reply.status, reply.text).to.equal(202);
      expect(reply.headers.get('location')).to.match(/\/api\/v2\/tasks\//);
    } finally {
      mend();
    }
    await server.settled(metadata.id, ({ status }) => status.powerState === 'Stopped');
  });
});
