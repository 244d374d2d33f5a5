/** `Prefer: wait=N` (RFC 7240), and the time that a request may take. */
import { expect } from 'chai';
import { Type } from 'typebox';
import type { Instance } from '../../../src/model/instance.js';
import type { Task } from '../../../src/model/task.js';
import { callerOf } from '../../../src/route/caller.js';
import { RequireUserAuthenticator } from '../../../src/route/pipeline/authenticator.js';
import { defineHandler, type Route } from '../../../src/route/route.js';
import type { Reply } from '../../support/conform.js';
import { eventually, failureOf } from '../../support/eventually.js';
import { wire } from '../../support/fuzz-http.js';
import { adminKey, startServer, type TestServer } from '../../support/server.js';

const path = '/api/v2/instances';

/** What became of each wait on the route below: how long it took, and the error that ended it. */
const waits: { ended: boolean; error?: unknown }[] = [];

/** A route that waits for a task as the API's own do, and says when it has stopped to wait. */
const watched: Route = {
  route: '/watched/{taskID}',
  methods: [
    {
      methodType: 'GET',
      authenticator: new RequireUserAuthenticator(),
      requestHandler: defineHandler(
        {
          operationId: 'watchTask',
          summary: 'Waits for a task',
          tags: ['test'],
          params: Type.Object({ taskID: Type.String() }, { additionalProperties: false }),
          waits: true,
          responses: { 204: { description: 'Waited.' } },
        },
        {
          parse: ({ params, context }) => ({
            caller: callerOf(context),
            id: params.taskID,
            wait: context.wait,
          }),
          execute: async (connector, { caller, id, wait }) => {
            const one: (typeof waits)[number] = { ended: false };
            waits.push(one);
            try {
              await connector.tasks.ended(caller, id, wait * 1000);
            } catch (error) {
              one.error = error;
              throw error;
            } finally {
              one.ended = true;
            }
            return {};
          },
        },
      ),
    },
  ],
};

describe('Prefer: wait', () => {
  let server: TestServer;
  const prefer = (value: string) => ({ headers: { Prefer: value } });
  const applied = (reply: Reply) => reply.headers.get('preference-applied');
  const timed = async <R>(work: () => Promise<R>): Promise<[R, number]> => {
    const started = performance.now();
    return [await work(), performance.now() - started];
  };
  const slowly = (
    verb: 'stopServer' | 'startServer' | 'deleteServer' | 'rebootServer',
    id: string,
    delay: number,
  ) => server.cloud.program({ verb, serverId: id, delay, times: 1 });

  before(async () => {
    server = await startServer({ extraRoutes: [watched], flags: { tasks: { grace: 0 } } });
  });
  afterEach(() => server.cloud.clearProgram());
  after(() => server.stop());

  it('makes a create answer with the instance that runs, as soon as it does', async () => {
    server.cloud.program({ verb: 'ensureServer', delay: 200, times: 1 });
    const [reply, time] = await timed(() =>
      server.admin.post<Instance>(path, server.instanceBody('made'), prefer('wait=20')),
    );
    expect(reply.status).to.equal(201);
    expect(reply.body.status.powerState).to.equal('Running');
    expect(reply.body.status.taskId).to.be.undefined;
    expect(applied(reply)).to.equal('wait=20');
    expect(time).to.be.within(150, 5000);
    const read = await server.admin.get(`${path}/${reply.body.metadata.id}`);
    expect([reply.text, reply.headers.get('etag')]).to.deep.equal([read.text, read.headers.get('etag')]);
  });

  it('makes stop, start, reboot and delete answer 200 with the task that has ended', async () => {
    const { metadata } = await server.running('verbs');
    const { id } = metadata;
    const steps = [
      ['POST', '/stop', 'stopServer', 'Stopped'],
      ['POST', '/start', 'startServer', 'Running'],
      ['POST', '/reboot', 'rebootServer', 'Running'],
      ['DELETE', '', 'deleteServer', undefined],
    ] as const;
    for (const [method, verb, act, state] of steps) {
      slowly(act, id, 150);
      const [reply, time] = await timed(() =>
        server.admin.call<Task>(method, `${path}/${id}${verb}`, prefer('wait=20')),
      );
      expect(reply.status, act).to.equal(200);
      expect(reply.body.status, act).to.equal('succeeded');
      expect(reply.body.subject?.id, act).to.equal(id);
      expect(applied(reply), act).to.equal('wait=20');
      expect(time, act).to.be.within(100, 5000);
      const { body } = await server.admin.get<Partial<Instance>>(`${path}/${id}`);
      expect(body.status?.powerState, act).to.equal(state);
    }
  });

  it('makes a PUT that replaces the machine answer with what came of it', async () => {
    const { metadata, spec } = await server.running('replaced');
    const body = {
      metadata: { name: 'replaced' },
      spec: { ...spec, imageId: server.catalog.images['sim-linux-next'] },
    };
    const reply = await server.admin.put<Instance>(
      `${path}/${metadata.id}?allowReplace=true`,
      body,
      prefer('wait=20'),
    );
    expect([reply.status, applied(reply)]).to.deep.equal([202, 'wait=20']);
    expect(reply.body.status.powerState).to.equal('Running');
    expect(reply.body.status.taskId).to.be.undefined;
  });

  it('makes GET of a task answer at its end, and of an ended task at once', async () => {
    const { metadata } = await server.running('followed');
    slowly('stopServer', metadata.id, 200);
    const { headers } = await server.admin.post(`${path}/${metadata.id}/stop`);
    const address = headers.get('location') ?? '';
    for (const [shortest, longest] of [
      [100, 5000],
      [0, 1000],
    ] as const) {
      const [reply, time] = await timed(() => server.admin.get<Task>(address, prefer('wait=20')));
      expect([reply.body.status, applied(reply)]).to.deep.equal(['succeeded', 'wait=20']);
      expect(time).to.be.within(shortest, longest);
    }
  });

  it('ends with the time asked for: 202 with the address of the task, which goes on', async () => {
    const { metadata } = await server.running('outlasts');
    slowly('stopServer', metadata.id, 60_000);
    const [reply, time] = await timed(() =>
      server.admin.post(`${path}/${metadata.id}/stop`, undefined, prefer('wait=1')),
    );
    expect([reply.status, reply.text, applied(reply)]).to.deep.equal([202, '', 'wait=1']);
    expect(time).to.be.within(900, 4000);
    const address = reply.headers.get('location') ?? '';
    const [read, readTime] = await timed(() => server.admin.get<Task>(address, prefer('wait=1')));
    expect(read.body.status).to.equal('running');
    expect(readTime).to.be.within(900, 4000);
  }).timeout(15_000);

  it('is bounded by a minute, whatever is asked for', async () => {
    for (const seconds of ['61', '3600', '999999999']) {
      const reply = await server.admin.post(
        path,
        server.instanceBody(`bounded-${seconds}`),
        prefer(`wait=${seconds}`),
      );
      expect(applied(reply), seconds).to.equal('wait=60');
    }
  });

  it('is found among other preferences, in any case, quoted or spaced', async () => {
    const forms = [
      'respond-async, wait=7',
      'wait=7;x=y',
      'Wait=7',
      'wait="7"',
      'wait = 7 ',
      'handling=lenient , wait=7, foo',
      'foo="a, b; wait=3", wait=7',
      'foo="a\\", wait=3, \\"b", wait="7"; x="y, z"',
      'wait=7, wait=3',
    ];
    for (const [index, form] of forms.entries()) {
      const reply = await server.admin.post(path, server.instanceBody(`form-${index}`), prefer(form));
      expect(applied(reply), form).to.equal('wait=7');
    }
    const twice = await wire(server.url + path, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${adminKey}`,
        'Content-Type': 'application/json',
        Prefer: ['foo', 'wait=7'],
      },
      body: JSON.stringify(server.instanceBody('two-fields')),
    });
    expect(twice.headers['preference-applied']).to.equal('wait=7');
  });

  it('is not read into unknown or malformed preferences, which are ignored', async () => {
    const others = [
      '',
      'respond-async',
      'return=minimal',
      'wait',
      'wait=',
      'wait=x',
      'wait=-5',
      'wait=1.5',
      'wait=1e3',
      'wait=0',
      'await=5',
      'wait=5x',
      'foo="x, wait=5, y"',
      'foo="x, wait=5',
      'foo="x\\", wait=5, y"',
      'foo; wait=5',
      'wait=x, wait=5',
      ',;=',
      '"',
      '\u00fcml\u00e4ut',
    ];
    for (const [index, other] of others.entries()) {
      server.cloud.program({ verb: 'ensureServer', delay: 30_000, times: 1 });
      const [reply, time] = await timed(() =>
        server.admin.post<Instance>(path, server.instanceBody(`other-${index}`), prefer(other)),
      );
      expect([reply.status, applied(reply)], other).to.deep.equal([201, null]);
      expect(time, other).to.be.below(3000);
      await server.deleteInstance(reply.body.metadata.id);
    }
  });

  it('is not granted where a route does not declare it', async () => {
    const { metadata } = await server.running('not-granted');
    for (const target of [
      path,
      `${path}/${metadata.id}`,
      '/api/v2/tasks',
      `${path}/${metadata.id}/consoleoutput`,
      '/health',
    ]) {
      const reply = await server.admin.get(target, prefer('wait=5'));
      expect([reply.status, applied(reply)], target).to.deep.equal([200, null]);
    }
  });

  it('is not granted to a refusal', async () => {
    const reply = await server.admin.post(path, server.instanceBody('made'), prefer('wait=5'));
    expect([reply.status, applied(reply)]).to.deep.equal([409, null]);
  });

  it('ends when the client leaves', async () => {
    const { metadata } = await server.running('left');
    slowly('stopServer', metadata.id, 60_000);
    const { headers } = await server.admin.post(`${path}/${metadata.id}/stop`);
    const known = waits.length;
    const leave = new AbortController();
    const asked = wire(`${server.url}/watched/${headers.get('location')?.split('/').at(-1) ?? ''}`, {
      headers: { Authorization: `Bearer ${adminKey}`, Prefer: 'wait=50', 'X-Request-Id': 'leaves' },
      signal: leave.signal,
    });
    await eventually(() => waits.length > known);
    expect(waits.at(-1)?.ended).to.be.false;
    leave.abort();
    expect((await failureOf(asked)).name).to.equal('AbortError');
    await eventually(() => waits.at(-1)?.ended, { within: 3000, what: 'the end of the wait' });
    expect(waits.at(-1)?.error).to.include({ code: 'request_timeout' });
    await eventually(() =>
      server.log.entries.some(
        ({ details, message }) => message === 'request' && details['requestId'] === 'leaves',
      ),
    );
  });

  describe('and the time limit of a request', () => {
    let hasty: TestServer;
    before(async () => {
      hasty = await startServer({
        flags: { server: { requestTimeout: 0.4, headersTimeout: 0.4 }, tasks: { grace: 0 } },
        defectsExpected: true,
      });
    });
    after(() => hasty.stop());

    it('add up, so that waiting is not what fails', async () => {
      hasty.cloud.program({ verb: 'ensureServer', delay: 900, times: 1 });
      const reply = await hasty.admin.post<Instance>(path, hasty.instanceBody('in-time'), prefer('wait=10'));
      expect([reply.status, reply.body.status.powerState]).to.deep.equal([201, 'Running']);
    });

    it('cut off work that takes longer with 503, and the next request is served', async () => {
      const { metadata } = await hasty.running('too-slow');
      hasty.cloud.program({ verb: 'consoleOutput', delay: 60_000, times: 1 });
      const target = `${path}/${metadata.id}/consoleoutput`;
      const [reply, time] = await timed(() =>
        hasty.admin.call<{ code: string }>('GET', target, { failing: 503 }),
      );
      expect([reply.status, reply.body.code]).to.deep.equal([503, 'deadline_exceeded']);
      expect(Number(reply.headers.get('retry-after'))).to.be.above(0);
      expect(time).to.be.within(300, 3000);
      expect((await hasty.admin.get(target)).status).to.equal(200);
    });
  });
});
