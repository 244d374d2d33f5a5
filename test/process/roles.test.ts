/** Processes of one site on one store: API processes without regions, and a worker that drives one. */
import { join } from 'node:path';
import { expect } from 'chai';
import { CallError } from '../../src/client/client.js';
import type { Instance } from '../../src/model/instance.js';
import type { Region } from '../../src/model/region.js';
import type { Task } from '../../src/model/task.js';
import { unlessBreach } from '../support/conform.js';
import { askGate } from '../support/gate.js';
import {
  cleanUp,
  createInstance,
  type Offer,
  offerOf,
  type ServerProcess,
  startServer,
  temporaryFolder,
  until,
  untilGone,
  untilPower,
} from '../support/process.js';
import { testAddress } from '../support/store.js';

describe('an API process and a worker on one store', function () {
  this.timeout(90_000);
  let folder: string;
  const running: ServerProcess[] = [];

  beforeEach(() => {
    folder = temporaryFolder();
  });
  afterEach(async () => {
    for (const server of running.splice(0)) await server.kill('SIGKILL');
    await cleanUp(folder);
  });

  async function start(command: 'serve' | 'worker', name: string, args: string[] = []) {
    const { address } = await testAddress(`sqlite:${join(folder, 'site.sqlite')}`);
    const environment = {
      COPSE_STORE: address,
      COPSE_TASKS_LEASE: '2',
      COPSE_TASKS_POLL: '0.5',
      COPSE_SIMULATED_DELAY: '20',
    };
    const server = await startServer({ command, dataDir: join(folder, name), args, environment });
    running.push(server);
    return server;
  }

  const api = (name: string) => start('serve', name, ['--no-worker']);
  const worker = (name = 'worker') => start('worker', name, ['--region', 'rack1=simulated']);

  /** The offer of the worker's region, as soon as the API process has found it. */
  function offered(server: ServerProcess): Promise<Offer> {
    return until('the region to be known', 20, async () => {
      const offer = await offerOf(server.client, 'sim-linux').catch(unlessBreach);
      return offer === undefined || offer.imageId === '' ? undefined : offer;
    });
  }

  it('work together: one takes the request, the other makes the machine, and its console is found', async () => {
    await worker();
    const [one, two] = [await api('one'), await api('two')];
    const offer = await offered(one);
    await offered(two);
    const { metadata } = await createInstance(one.client, 'shared', offer);
    await untilPower(two.client, metadata.id, 'Running');
    const console = await two.client.get<{ contents: string }>(
      `/api/v2/instances/${metadata.id}/consoleoutput`,
    );
    expect(console.body.contents).to.include('login:');
    await two.client.post(`/api/v2/instances/${metadata.id}/stop`);
    await untilPower(one.client, metadata.id, 'Stopped');
    await one.client.delete(`/api/v2/instances/${metadata.id}`);
    await untilGone(two.client, metadata.id);
  });

  it('start work soon, though no connection tells the worker of it', async () => {
    await worker();
    const server = await api('one');
    const offer = await offered(server);
    const { status } = await createInstance(server.client, 'quick', offer);
    const task = await until('the task to begin', 20, async () => {
      const { body } = await server.client.get<Task>(`/api/v2/tasks/${status.taskId ?? ''}`);
      return body.startTime === undefined ? undefined : body;
    });
    const late = Date.parse(task.startTime ?? '') - Date.parse(task.creationTime);
    expect(late).to.be.below(2000);
  });

  it('take orders while the worker is away, say that it cannot be asked, and carry them out when it is back', async () => {
    const first = await worker();
    const server = await api('one');
    const offer = await offered(server);
    const { metadata } = await createInstance(server.client, 'before', offer);
    await untilPower(server.client, metadata.id, 'Running');
    await first.kill('SIGKILL');
    const refusal = await server.client
      .get(`/api/v2/instances/${metadata.id}/consoleoutput`)
      .catch((error: unknown) => error);
    expect(refusal).to.be.instanceOf(CallError);
    expect(refusal).to.include({ status: 503, code: 'unavailable', retryable: true });
    const ordered = await createInstance(server.client, 'meanwhile', offer);
    const { body } = await server.client.get<Instance>(`/api/v2/instances/${ordered.metadata.id}`);
    expect(body.status.powerState).to.equal('Pending');
    await worker();
    await untilPower(server.client, ordered.metadata.id, 'Running');
    await until('the console to be found again', 20, () =>
      server.client
        .get(`/api/v2/instances/${metadata.id}/consoleoutput`)
        .then(() => true as const)
        .catch(unlessBreach),
    );
  });

  it('keep the worker’s door shut: only who knows the store’s secret is answered', async () => {
    const gate = await worker();
    const server = await api('one');
    const { regionId } = await offered(server);
    const health = await askGate(`${gate.url}/health`);
    expect([health.status, await health.json()]).to.deep.equal([200, { status: 'pass' }]);
    for (const headers of [
      {},
      { Authorization: 'Bearer x' },
      { Authorization: `Bearer ${'A'.repeat(43)}` },
    ]) {
      const response = await askGate(`${gate.url}/regions/${regionId}/describeServers`, {
        method: 'POST',
        headers,
        body: '[null]',
      });
      expect(response.status).to.equal(401);
      await response.body?.cancel();
    }
    const regions = (await server.client.get<Region[]>(await catalogOf(server))).body;
    expect(regions.map(({ metadata }) => metadata.name)).to.deep.equal(['rack1']);
  });

  async function catalogOf(server: ServerProcess): Promise<string> {
    const [organization] = (
      await server.client.get<{ metadata: { organizationId: string } }[]>('/api/v2/projects')
    ).body;
    return `/api/v1/organizations/${organization?.metadata.organizationId ?? ''}/regions`;
  }
});
