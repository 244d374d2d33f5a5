/** Idempotency-Key on POST, over HTTP. What a crash between leaves is in test/long/kill-idempotency.test.ts. */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { Type } from 'typebox';
import { idempotency, IdempotencyData, retention } from '../../../src/data/idempotency.js';
import { ownerName } from '../../../src/data/owner.js';
import { replace } from '../../../src/data/store/port.js';
import { ApiError } from '../../../src/model/error.js';
import type { Instance } from '../../../src/model/instance.js';
import type { Task } from '../../../src/model/task.js';
import { RequireUserAuthenticator } from '../../../src/route/pipeline/authenticator.js';
import { defineHandler, type Route } from '../../../src/route/route.js';
import type { Api, CallOptions, ErrorAnswer, Reply } from '../../support/conform.js';
import { eventually, failureOf } from '../../support/eventually.js';
import { addOutsider } from '../../support/fuzz-seed.js';
import { wire } from '../../support/fuzz-http.js';
import { patient } from '../../support/region.js';
import { adminKey, startServer, type TestServer } from '../../support/server.js';

const path = '/api/v2/instances';
const closed = { additionalProperties: false };

/** Work that ends when the test says so, and how. */
class Gate {
  entered = 0;
  #open: () => void = () => undefined;
  #way = Promise.resolve();

  close(): void {
    this.#way = new Promise((resolve) => (this.#open = resolve));
  }

  open(): void {
    this.#open();
  }

  async pass(): Promise<number> {
    this.entered += 1;
    const place = this.entered;
    await this.#way;
    return place;
  }
}

const gate = new Gate();
const gated: Route = {
  route: '/gated',
  methods: [
    {
      methodType: 'POST',
      authenticator: new RequireUserAuthenticator(),
      requestHandler: defineHandler(
        {
          operationId: 'passGate',
          summary: 'Passes a gate',
          tags: ['test'],
          body: Type.Object({ end: Type.String() }, closed),
          responses: {
            200: { description: 'Passed.', schema: Type.Object({ place: Type.Integer() }, closed) },
          },
          errors: ['instance_busy', 'unprocessable', 'forbidden'],
        },
        {
          parse: ({ body }) => body.end,
          execute: async (_connector, end) => {
            const place = await gate.pass();
            if (end === 'defect') throw new Error('broken on purpose');
            if (end !== 'good') throw new ApiError(end as 'forbidden', `Ended as ${end}.`);
            return { result: { place } };
          },
        },
      ),
    },
  ],
};

describe('Idempotency-Key', () => {
  let server: TestServer;
  const withKey = (key: string): CallOptions => ({ headers: { 'Idempotency-Key': key } });
  const replayed = (reply: Reply) => reply.headers.get('idempotency-replayed') === 'true';
  const create = (key: string, name: string, api = server.admin, body: unknown = server.instanceBody(name)) =>
    api.post<Instance>(path, body, withKey(key));
  const named = async (name: string, api: Api = server.admin) =>
    (await api.get<Instance[]>(`${path}?limit=1000`)).body.filter((one) => one.metadata.name === name);
  const tasksOf = async (id: string) =>
    (await server.admin.get<Task[]>(`/api/v2/tasks?subjectID=${id}`)).body;
  const pass = (key: string, end = 'good', failing?: number) =>
    server.admin.post<{ place: number }>(
      '/gated',
      { end },
      {
        ...withKey(key),
        ...(failing === undefined ? {} : { failing }),
      },
    );

  /** A refusal's repeat as it came: its body bears the id of the first request, which conform.ts would not have. */
  async function refusedAgain(key: string, target: string, body?: unknown) {
    const reply = await wire(server.url + target, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${adminKey}`,
        'Idempotency-Key': key,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const { code, message } = JSON.parse(reply.bytes.toString()) as ErrorAnswer;
    return { status: reply.status, code, message, replayed: reply.headers['idempotency-replayed'] };
  }

  before(async () => {
    server = await startServer({ extraRoutes: [gated], defectsExpected: true });
  });
  after(() => server.stop());

  it('gives a repeat the first answer: status, Location, ETag and body; and one instance with one task is made', async () => {
    const key = randomUUID();
    const first = await create(key, 'once');
    expect(first.status).to.equal(201);
    expect(replayed(first)).to.be.false;
    await server.settled(first.body.metadata.id);
    for (let round = 0; round < 3; round += 1) {
      const again = await create(key, 'once');
      expect([again.status, again.text]).to.deep.equal([201, first.text]);
      for (const name of ['location', 'etag', 'cache-control', 'content-type'])
        expect(again.headers.get(name), name).to.equal(first.headers.get(name));
      expect(again.headers.get('location')).to.be.a('string');
      expect(replayed(again)).to.be.true;
    }
    expect(await named('once')).to.have.length(1);
    expect(await tasksOf(first.body.metadata.id)).to.have.length(1);
  });

  it('makes a power verb act once, also when its repeat comes long after the end', async () => {
    const { metadata } = await server.running('reboots-once');
    const reboot = () =>
      server.admin.post(`${path}/${metadata.id}/reboot`, undefined, withKey('reboot-once'));
    const first = await reboot();
    expect(first.status).to.equal(202);
    await server.ended(first.headers.get('location'));
    const again = await reboot();
    expect([again.status, replayed(again)]).to.deep.equal([202, true]);
    expect(again.headers.get('location')).to.equal(first.headers.get('location'));
    expect(await tasksOf(metadata.id)).to.have.length(2);
    expect(server.cloud.history(metadata.id).filter(({ verb }) => verb === 'rebootServer')).to.have.length(1);
  });

  it('answers a repeat with the last state of a request that waited, and with the first while it still waits', async () => {
    server.cloud.program({ verb: 'ensureServer', delay: 400, times: 1 });
    const wait = { headers: { 'Idempotency-Key': 'waits', Prefer: 'wait=10' } };
    const waiting = server.admin.post<Instance>(path, server.instanceBody('waits'), wait);
    await eventually(async () => (await named('waits')).length === 1);
    const early = await create('waits', 'waits');
    expect([early.status, replayed(early), early.body.status.powerState]).to.deep.equal([
      201,
      true,
      'Pending',
    ]);
    const first = await waiting;
    expect(first.body.status.powerState).to.equal('Running');
    const late = await create('waits', 'waits');
    expect([late.text, late.headers.get('etag')]).to.deep.equal([first.text, first.headers.get('etag')]);
  });

  it('is the same key in quotes and bare', async () => {
    const first = await create('"quoted-or-bare"', 'forms');
    const again = await create('quoted-or-bare', 'forms');
    expect([again.status, replayed(again), again.text]).to.deep.equal([201, true, first.text]);
  });

  it('answers 422 for another body or another query under the same key, and does nothing', async () => {
    await create('mismatch', 'mismatched');
    const other = { body: server.instanceBody('mismatched-too'), ...withKey('mismatch') };
    const reply = await server.admin.refused('idempotency_mismatch', 'POST', path, other);
    expect(reply.body.retryable).to.be.false;
    expect(await named('mismatched-too')).to.have.length(0);

    const { metadata } = await server.running('mismatched-query');
    const verb = `${path}/${metadata.id}/reboot`;
    await server.admin.post(verb, undefined, withKey('mismatch-query'));
    await server.admin.refused(
      'idempotency_mismatch',
      'POST',
      `${verb}?hard=true`,
      withKey('mismatch-query'),
    );
  });

  it('holds for one user and one path: others may use the same key', async () => {
    const outsider = await addOutsider(server);
    const mine = await create('shared', 'shared');
    const theirs = await create('shared', 'shared', outsider.api);
    expect([theirs.status, replayed(theirs)]).to.deep.equal([201, false]);
    expect(theirs.body.metadata.id).not.to.equal(mine.body.metadata.id);

    const { metadata } = await server.running('two-paths');
    for (const verb of ['stop', 'start']) {
      const reply = await server.admin.post(
        `${path}/${metadata.id}/${verb}`,
        undefined,
        withKey('two-paths'),
      );
      expect([reply.status, replayed(reply)], verb).to.deep.equal([202, false]);
      await server.ended(reply.headers.get('location'));
      await server.settled(metadata.id);
    }
  });

  it('answers 409 with Retry-After while the first request runs, and its answer from then on', async () => {
    gate.close();
    const entered = gate.entered;
    const first = pass('slow');
    await eventually(() => gate.entered > entered);
    const options = { body: { end: 'good' }, ...withKey('slow') };
    const busy = await server.admin.refused('idempotency_in_progress', 'POST', '/gated', options);
    expect(Number(busy.headers.get('retry-after'))).to.be.at.least(1);
    expect(busy.body.retryable).to.be.true;
    gate.open();
    const { body } = await first;
    const again = await pass('slow');
    expect([again.body.place, replayed(again)]).to.deep.equal([body.place, true]);
    expect(gate.entered).to.equal(entered + 1);
  });

  it('makes one instance of 20 creates at once under one key', async () => {
    const replies = await Promise.all(Array.from({ length: 20 }, () => create('crowd', 'crowd')));
    for (const reply of replies) {
      const { code } = reply.body as unknown as ErrorAnswer;
      if (reply.status !== 201) expect([reply.status, code]).to.deep.equal([409, 'idempotency_in_progress']);
    }
    const [made, ...more] = await named('crowd');
    expect(more).to.have.length(0);
    const created = replies.filter((reply) => reply.status === 201);
    expect(created.filter((reply) => !replayed(reply))).to.have.length(1);
    expect(new Set(created.map((reply) => reply.body.metadata.id))).to.deep.equal(
      new Set([made?.metadata.id]),
    );
    expect(await tasksOf(made?.metadata.id ?? '')).to.have.length(1);
    expect((await create('crowd', 'crowd')).body.metadata.id).to.equal(made?.metadata.id);
  });

  it('keeps a lasting refusal', async () => {
    const wrong = server.instanceBody('wrong', { spec: { imageId: randomUUID() } });
    await server.admin.refused('invalid_reference', 'POST', path, { body: wrong, ...withKey('wrong') });
    expect(await refusedAgain('wrong', path, wrong)).to.include({
      status: 400,
      code: 'invalid_reference',
      replayed: 'true',
    });
  });

  it('gives the repeat of a refusal as a problem document to whoever prefers one, as the first time', async () => {
    const body = server.instanceBody('problem', { spec: { imageId: randomUUID() } });
    const types = [];
    for (let round = 0; round < 2; round += 1) {
      const reply = await wire(server.url + path, {
        method: 'POST',
        headers: {
          Authorization: `Bearer ${adminKey}`,
          Accept: 'application/problem+json',
          'Content-Type': 'application/json',
          'Idempotency-Key': 'problem',
        },
        body: JSON.stringify(body),
      });
      types.push(reply.headers['content-type']);
    }
    expect(types).to.deep.equal(['application/problem+json', 'application/problem+json']);
  });

  it('forgets a passing refusal and a defect, so that the repeat does the work', async () => {
    server.cloud.program({ verb: 'ensureServer', delay: 250, times: 1 });
    const { metadata } = await server.createInstance('busy');
    const stop = `${path}/${metadata.id}/stop`;
    await server.admin.refused('instance_busy', 'POST', stop, withKey('busy'));
    await server.settled(metadata.id);
    const reply = await server.admin.post(stop, undefined, withKey('busy'));
    expect([reply.status, replayed(reply)]).to.deep.equal([202, false]);

    for (const [end, failing] of [['instance_busy'], ['forbidden'], ['defect', 500]] as const) {
      const entered = gate.entered;
      for (let round = 0; round < 2; round += 1) await pass(`passing-${end}`, end, failing);
      expect(gate.entered, end).to.equal(entered + 2);
    }
  });

  it('refuses what is no key or too long, and does nothing', async () => {
    const wrong = [
      '',
      '""',
      '"open',
      'open"',
      'two words',
      'a"b',
      '"a\\b"',
      'x'.repeat(256),
      `"${'x'.repeat(256)}"`,
      'caf\u00e9',
    ];
    for (const key of wrong) {
      const options = { body: server.instanceBody('no-key'), ...withKey(key) };
      const { body } = await server.admin.refused('invalid_parameter', 'POST', path, options);
      expect(body.errors?.[0]?.parameter, key).to.equal('Idempotency-Key');
    }
    expect(await named('no-key')).to.have.length(0);
    const longest = await create('x'.repeat(255), 'longest-key');
    expect(longest.status).to.equal(201);
  });

  it('means nothing on GET, PUT and DELETE, not even when it is malformed', async () => {
    const { metadata, spec } = await server.running('no-post');
    const body = { metadata: { name: 'no-post' }, spec };
    for (const key of ['anything', '"open']) {
      for (let round = 0; round < 2; round += 1) {
        const read = await server.admin.get(`${path}/${metadata.id}`, withKey(key));
        const put = await server.admin.put(`${path}/${metadata.id}`, body, withKey(key));
        expect([read.status, put.status, replayed(read), replayed(put)]).to.deep.equal([
          200,
          202,
          false,
          false,
        ]);
      }
    }
  });

  describe('whose first request has no answer', () => {
    /** Has another process claim the key for creating an instance with this name; tells what is left of the claim. */
    async function claimedBy(owner: string, name: string, created = Date.now()) {
      const { store, connector } = server.app;
      const userId = (await connector.users.identify(adminKey))?.id ?? '';
      const content = JSON.stringify([{}, server.instanceBody(name)]);
      const other = new IdempotencyData(store, owner);
      await other.begin({ userId, key: name, operation: `POST ${path}`, content });
      other.close();
      const left = async () => {
        const page = await store.page(idempotency, { order: 'created', limit: 1000 });
        return page.filter(({ value }) => value.owner === owner && value.answer === undefined);
      };
      const [claim, ...others] = await left();
      if (claim === undefined || others.length > 0) throw new Error('not the one claim');
      await store.write([replace(idempotency, claim, { ...claim.value, created })]);
      return left;
    }

    const here = JSON.parse(ownerName()) as { place: string; pid: number; start: string };

    it('is taken over from a process that is dead, at once', async () => {
      const { pid } = spawnSync(process.execPath, ['--version']);
      const left = await claimedBy(JSON.stringify({ ...here, pid }), 'from-the-dead');
      const reply = await create('from-the-dead', 'from-the-dead');
      expect(await left()).to.have.length(0);
      expect([reply.status, replayed(reply)]).to.deep.equal([201, false]);
      expect(replayed(await create('from-the-dead', 'from-the-dead'))).to.be.true;
    });

    it('is taken over from a process whose number another one has now', async () => {
      const left = await claimedBy(JSON.stringify({ ...here, start: '1' }), 'from-a-namesake');
      expect((await create('from-a-namesake', 'from-a-namesake')).status).to.equal(201);
      expect(await left()).to.have.length(0);
    });

    it('is left to a process that lives, here or elsewhere, until no request could still run', async () => {
      const elsewhere = JSON.stringify({ ...here, place: 'another machine' });
      const minutes = 60 * 1000;
      for (const [owner, name, age] of [
        [ownerName(), 'alive', 0],
        [elsewhere, 'elsewhere', 0],
        [ownerName(), 'alive-and-slow', 4 * minutes],
        [elsewhere, 'elsewhere-and-slow', 4 * minutes],
      ] as const) {
        const left = await claimedBy(`${owner.slice(0, -1)},"of":"${name}"}`, name, Date.now() - age);
        const options = { body: server.instanceBody(name), ...withKey(name) };
        await server.admin.refused('idempotency_in_progress', 'POST', path, options);
        expect(await named(name)).to.have.length(0);
        expect(await left()).to.have.length(1);
      }
      const left = await claimedBy(elsewhere, 'abandoned', Date.now() - 60 * minutes);
      expect((await create('abandoned', 'abandoned')).status).to.equal(201);
      expect(await left()).to.have.length(0);
    });
  });

  it('is forgotten after 24 hours: the purge removes what is older and nothing else', async () => {
    const entered = gate.entered;
    await pass('old');
    expect(retention).to.equal(24 * 60 * 60 * 1000);
    const purge = (offset: number, signal = patient()) =>
      server.app.connector.idempotency.purge(Date.now() + retention + offset, signal);
    expect(await purge(-60_000)).to.equal(0);
    expect(replayed(await pass('old'))).to.be.true;
    const lost = AbortSignal.abort(new Error('the turn is lost'));
    expect((await failureOf(purge(60_000, lost))).message).to.equal('the turn is lost');
    expect(await purge(60_000)).to.be.above(0);
    expect(replayed(await pass('old'))).to.be.false;
    expect(gate.entered).to.equal(entered + 2);
  });
});
