/** SIGTERM to the real process: what is under way ends, nothing new begins, and it all ends in time. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import { checkedFetch, unlessBreach } from '../support/conform.js';
import { type Conversation, converse } from '../support/fuzz-socket.js';
import { KeptConnection } from '../support/keep-alive.js';
import {
  adminKey,
  cleanUp,
  type Offer,
  offerOf,
  type ServerProcess,
  startServer,
  temporaryFolder,
  until,
} from '../support/process.js';

const path = '/api/v2/instances';
const authorization = { Authorization: `Bearer ${adminKey}` };

describe('SIGTERM', function () {
  this.timeout(60_000);
  let dataDir: string;
  let server: ServerProcess;
  let offer: Offer;
  const waiting: Promise<unknown>[] = [];

  beforeEach(() => {
    dataDir = temporaryFolder();
  });
  afterEach(async () => {
    await server.kill('SIGKILL');
    await cleanUp(dataDir);
    await Promise.all(waiting.splice(0).map((answer) => answer.catch(unlessBreach)));
  });

  async function start(environment: Record<string, string>): Promise<void> {
    server = await startServer({ dataDir, args: ['--region', 'simulated'], environment });
    offer = await offerOf(server.client, 'sim-linux');
  }

  /** A create whose client waits for the machine, once the request is surely under way. */
  async function waitingCreate(name: string): Promise<{ answer: Promise<Response> }> {
    const answer = checkedFetch(server.url + path, {
      method: 'POST',
      headers: { ...authorization, 'Content-Type': 'application/json', Prefer: 'wait=50' },
      body: JSON.stringify({ metadata: { name }, spec: offer }),
    });
    answer.catch(() => undefined);
    waiting.push(answer);
    await until(`${name} to be accepted`, 10, async () => {
      const { body } = await server.client.get<Instance[]>(path);
      return body.some(({ metadata }) => metadata.name === name) ? true : undefined;
    });
    return { answer };
  }

  const readiness = async () =>
    (await checkedFetch(`${server.url}/ready`, { headers: { Connection: 'close' } })).status;

  /** What comes of a new connection. */
  const connection = () =>
    new Promise<string>((resolve) => {
      const { hostname, port } = new URL(server.url);
      const socket = connect(Number(port), hostname, () => {
        socket.destroy();
        resolve('taken');
      });
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });

  const begun = ({ metadata }: Instance) =>
    server.log.find(({ msg, instanceId }) => msg === 'task started' && instanceId === metadata.id);

  const living = () => server.child.exitCode === null && server.child.signalCode === null;

  it('turns /ready 503 at once, while requests are served for the delay and a waiting one gets its answer', async () => {
    await start({ COPSE_SIMULATED_DELAY: '3500', COPSE_SERVER_DRAIN_DELAY: '3' });
    const { answer } = await waitingCreate('waits');
    expect(await readiness()).to.equal(200);
    server.child.kill('SIGTERM');
    await until('/ready to be 503', 2, async () => ((await readiness()) === 503 ? true : undefined));
    expect((await checkedFetch(`${server.url}/health`)).status).to.equal(200);
    expect((await server.client.get<Instance[]>(path)).status).to.equal(200);

    const reply = await answer;
    expect(reply.status).to.equal(201);
    expect(((await reply.json()) as Instance).status.powerState).to.equal('Running');
    expect(await server.exit).to.equal(0);
  });

  it('refuses new connections after the delay, while what is under way still runs', async () => {
    await start({ COPSE_SIMULATED_DELAY: '3000', COPSE_SERVER_DRAIN_DELAY: '0.3' });
    const { answer } = await waitingCreate('outlasts');
    server.child.kill('SIGTERM');
    let answered = false;
    void answer.then(() => (answered = true));
    await until('new connections to be refused', 2, async () =>
      (await connection()) === 'ECONNREFUSED' ? true : undefined,
    );
    expect([answered, living()]).to.deep.equal([false, true]);
    expect((await answer).status).to.equal(201);
    expect(await server.exit).to.equal(0);
  });

  it('tells kept connections that they end, ends them, and closes idle ones', async () => {
    await start({ COPSE_SERVER_DRAIN_DELAY: '1' });
    const busy = new KeptConnection(server.url);
    expect(await busy.send({ method: 'GET', path: '/health' })).to.deep.equal({ status: 200, closes: false });
    const idle = await new Promise<{ ended: Promise<Conversation> }>((resolve) => {
      const answered = async (socket: Socket) => {
        await once(socket, 'data');
        resolve({ ended });
      };
      const script = ['GET /health HTTP/1.1\r\nHost: x\r\n\r\n', answered];
      const ended = converse(server.url, script, { within: 30_000 });
    });

    server.child.kill('SIGTERM');
    await until('/ready to be 503', 1, async () => ((await readiness()) === 503 ? true : undefined));
    expect(await busy.send({ method: 'GET', path: '/health' })).to.deep.equal({ status: 200, closes: true });
    busy.close();
    expect((await idle.ended).closed).to.be.true;
    expect(await server.exit).to.equal(0);
  });

  it('says that the connection ends also with the answer of a request that began before it', async () => {
    await start({ COPSE_SIMULATED_DELAY: '1500', COPSE_SERVER_DRAIN_DELAY: '3' });
    const { answer } = await waitingCreate('began-before');
    server.child.kill('SIGTERM');
    const reply = await answer;
    expect([reply.status, reply.headers.get('connection')]).to.deep.equal([201, 'close']);
    expect(await server.exit).to.equal(0);
  });

  it('cuts off at the limit what does not end by itself, and still exits with 0', async () => {
    await start({ COPSE_SIMULATED_DELAY: '60000', COPSE_SERVER_DRAIN_LIMIT: '1', COPSE_TASKS_GRACE: '0.1' });
    const { answer } = await waitingCreate('never-ends');
    const began = performance.now();
    server.child.kill('SIGTERM');
    const outcome = await answer.then(
      ({ status }) => status,
      () => 'cut',
    );
    expect(outcome).to.be.oneOf(['cut', 503]);
    expect(await server.exit).to.equal(0);
    expect(performance.now() - began).to.be.within(900, 6000);
  });

  it('a second time within a second changes nothing, and later ends the process at once', async () => {
    await start({
      COPSE_SIMULATED_DELAY: '60000',
      COPSE_SERVER_DRAIN_DELAY: '600',
      COPSE_TASKS_GRACE: '0.1',
    });
    await waitingCreate('endless');
    server.child.kill('SIGTERM');
    const began = performance.now();
    await until('/ready to be 503', 1, async () => ((await readiness()) === 503 ? true : undefined));
    server.child.kill('SIGTERM');
    expect((await checkedFetch(`${server.url}/health`)).status).to.equal(200);
    // What counts as later is a matter of time, so here time is what the test needs.
    await sleep(1100 - (performance.now() - began));
    expect(living()).to.be.true;
    const second = performance.now();
    server.child.kill('SIGTERM');
    expect(await server.exit).to.equal(1);
    expect(performance.now() - second).to.be.below(1000);
  });

  it('leaves the work to the next process, which ends it', async () => {
    await start({ COPSE_SIMULATED_DELAY: '1200', COPSE_TASKS_GRACE: '0', COPSE_SERVER_DRAIN_LIMIT: '0' });
    await waitingCreate('handed-over');
    expect(await server.kill('SIGTERM')).to.equal(0);
    await start({ COPSE_SIMULATED_DELAY: '10' });
    await until('the instance to run', 20, async () => {
      const { body } = await server.client.get<Instance[]>(path);
      return body[0]?.status.powerState === 'Running' ? true : undefined;
    });
    expect((await server.client.get<Instance[]>(path)).body).to.have.length(1);
    expect(await server.kill('SIGTERM')).to.equal(0);
  });

  it('begins no task any more while it drains, and lets nobody wait for one', async () => {
    await start({ COPSE_SIMULATED_DELAY: '10', COPSE_SERVER_DRAIN_DELAY: '2' });
    const early = await server.client.post<Instance>(path, { metadata: { name: 'early' }, spec: offer });
    await until('the early one to begin', 5, () => (begun(early.body) ? true : undefined));
    server.child.kill('SIGTERM');
    await until('/ready to be 503', 2, async () => ((await readiness()) === 503 ? true : undefined));
    const began = performance.now();
    const answer = await checkedFetch(server.url + path, {
      method: 'POST',
      headers: { ...authorization, 'Content-Type': 'application/json', Prefer: 'wait=50' },
      body: JSON.stringify({ metadata: { name: 'late' }, spec: offer }),
    });
    expect(performance.now() - began).to.be.below(1000);
    const late = (await answer.json()) as Instance;
    expect([answer.status, late.status.powerState]).to.deep.equal([201, 'Pending']);
    expect(await server.exit).to.equal(0);
    await until('the end of the log', 5, () => (server.log.at(-1)?.msg === 'stopped' ? true : undefined));
    expect(begun(late)).to.be.undefined;
  });

  it('writes out every line of the log, one for each request, and no secret in any of them', async () => {
    await start({});
    const ids = Array.from({ length: 50 }, (_, n) => `logged-${n}`);
    await Promise.all(
      ids.map((id) =>
        checkedFetch(`${server.url}${path}?limit=1`, { headers: { ...authorization, 'X-Request-Id': id } }),
      ),
    );
    expect(await server.kill('SIGTERM')).to.equal(0);
    await until('the end of the log', 5, () => (server.log.at(-1)?.msg === 'stopped' ? true : undefined));
    const lines = server.log.filter(({ msg }) => msg === 'request');
    for (const id of ids) {
      const found = lines.filter((line) => line['requestId'] === id);
      expect(found, id).to.have.length(1);
      expect(found[0]).to.include({ method: 'GET', route: path, status: 200, user: 'admin' });
      expect(found[0]).to.include.keys('ms', 'bytes', 'time');
    }
    expect(JSON.stringify(server.log)).not.to.include(adminKey);
  });
});
