/** The gateway of the database lives, and the database behind it goes away: PostgreSQL hangs, or is killed, and comes back. */
import { expect } from 'chai';
import type { Event } from '../../../../src/model/event.js';
import { checkedFetch } from '../../../support/conform.js';
import { EventStream } from '../../../support/event-stream.js';
import { eventually } from '../../../support/eventually.js';
import { MongoServer, ownServerMissing } from '../../../support/mongo.js';
import { adminKey, startServer, type TestServer } from '../../../support/server.js';

const limits = 'serverSelectionTimeoutMS=1500&connectTimeoutMS=1000&socketTimeoutMS=2500';

/** Longer than a look at the store may take, on a busy machine. */
const soon = { within: 5000 };

interface Refusal {
  code?: string;
}

describe('a database that goes away behind its gateway', function () {
  this.timeout(240_000);
  let database: MongoServer;
  let server: TestServer | undefined;

  before(function () {
    database = new MongoServer();
    const missing =
      ownServerMissing() ??
      (database.hasDatabaseBehind ? undefined : 'this server has no database behind it: DocumentDB has');
    if (missing === undefined) return;
    process.stdout.write(`!!! SKIPPED, a database away behind its gateway: ${missing}\n`);
    this.skip();
  });
  beforeEach(async () => {
    database = await new MongoServer().start();
    server = await startServer({
      ownStore: true,
      defectsExpected: true,
      flags: {
        store: `${database.address}/copse?${limits}`,
        limits: { requests: 0 },
        simulated: { delay: 1500 },
      },
    });
  });
  afterEach(async () => {
    await server?.stop();
    server = undefined;
    await database.clear();
  });

  const headers = { Authorization: `Bearer ${adminKey}`, 'Content-Type': 'application/json' };

  /** One request of each kind, as name and call. */
  function requests(running: TestServer, id: string, task: string): [string, () => Promise<Response>][] {
    const call = (method: string, path: string, body?: object, more: Record<string, string> = {}) =>
      checkedFetch(running.url + path, {
        method,
        headers: { ...headers, ...more },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    const one = `/api/v2/instances/${id}`;
    let count = 0;
    const fresh = () => `fresh-${(count += 1)}`;
    return [
      ['get', () => call('GET', one)],
      ['list', () => call('GET', '/api/v2/instances')],
      ['list tasks', () => call('GET', '/api/v2/tasks')],
      ['get task', () => call('GET', task)],
      ['list projects', () => call('GET', '/api/v2/projects')],
      ['list networks', () => call('GET', '/api/v2/networks')],
      ['events', () => call('GET', '/api/v2/events')],
      ['drift', () => call('GET', '/api/v2/status/drift')],
      ['queue', () => call('GET', '/api/v2/status/queue')],
      ['recent tasks', () => call('GET', '/api/v2/status/recent_tasks')],
      ['console', () => call('GET', `${one}/consoleoutput`)],
      ['create', () => call('POST', '/api/v2/instances', running.instanceBody(fresh()))],
      [
        'create under a key',
        () =>
          call('POST', '/api/v2/instances', running.instanceBody(fresh()), { 'Idempotency-Key': fresh() }),
      ],
      ['start', () => call('POST', `${one}/start`)],
      ['reboot', () => call('POST', `${one}/reboot`)],
      ['delete', () => call('DELETE', '/api/v2/instances/01900000-0000-7000-8000-000000000000')],
      ['ready', () => call('GET', '/ready')],
      ['health', () => call('GET', '/health')],
    ];
  }

  for (const [how, away, back] of [
    [
      'hangs',
      () => {
        database.signalBehind('SIGSTOP');
      },
      () => {
        database.signalBehind('SIGCONT');
      },
    ],
    [
      'was killed',
      () => {
        database.signalBehind('SIGKILL');
      },
      () => database.startBehind(),
    ],
  ] as const) {
    it(`is 503 for whatever is asked while it ${how}, told within seconds and once, and nothing is lost`, async () => {
      const running = server;
      if (running === undefined) throw new Error('no server');
      const ready = async () => (await checkedFetch(`${running.url}/ready`)).status;
      const { metadata } = await running.running('kept');
      const stream = await EventStream.open({ url: running.url, key: adminKey });
      const told: Event[] = [];
      const reading = stream
        .until((event) => {
          told.push(event);
          return false;
        })
        .catch(() => undefined);
      const order = await running.createInstance('under-way');
      const task = `/api/v2/tasks/${order.status.taskId ?? ''}`;
      await eventually(async () => (await running.task(order.status.taskId)).steps.length > 0, {
        what: 'the step to begin',
      });
      running.log.entries.splice(0);
      away();
      await eventually(async () => (await ready()) === 503, { ...soon, what: '/ready to tell' });
      const asked = requests(running, metadata.id, task);
      const answers = await Promise.all(
        [...asked, ...asked].map(async ([name, ask]) => {
          const response = await ask();
          const body = (await response.json()) as Refusal;
          return {
            name,
            status: response.status,
            code: body.code,
            after: response.headers.get('retry-after'),
          };
        }),
      );
      for (const { name, status, code, after } of answers) {
        expect(status, name).to.equal(503);
        if (name !== 'health') expect(code, name).to.be.oneOf(['store_unavailable', 'deadline_exceeded']);
        expect(after, name).to.match(/^\d+$/);
      }
      await back();
      await eventually(async () => (await ready()) === 200, {
        within: 30_000,
        what: '/ready to tell of its end',
      });
      const ended = await running.ended(order.status.taskId);
      expect(ended.status).to.equal('succeeded');
      expect(ended.attempts.map(({ outcome }) => outcome)).to.deep.equal(['succeeded']);
      expect((await running.admin.get(`/api/v2/instances/${metadata.id}`)).status).to.equal(200);
      const went = () =>
        told.filter((event) => event.resourceId === ended.id).map(({ resource }) => resource?.status);
      await eventually(() => went().some((status) => JSON.stringify(status) === '"succeeded"'), {
        what: 'the stream to go on',
      });
      stream.close();
      await reading;
      const lines = running.log.entries.filter(({ message }) => message.startsWith('the store'));
      expect(lines.map(({ message }) => message)).to.deep.equal([
        'the store is unavailable',
        'the store is available again',
      ]);
      expect(lines[1]?.details['seconds']).to.be.a('number').and.to.be.above(0);
      const loud = running.log.entries.filter(({ level }) => level === 'error' || level === 'warn');
      expect(loud.map(({ message }) => message)).to.deep.equal(['the store is unavailable']);
    });
  }
});
