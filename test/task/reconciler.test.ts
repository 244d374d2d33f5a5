/** The comparison of what is wished with what the region has, and GET /api/v2/status/drift. */
import { expect } from 'chai';
import { instances } from '../../src/data/instance.js';
import type { Drift } from '../../src/model/drift.js';
import type { Instance } from '../../src/model/instance.js';
import { eventually } from '../support/eventually.js';
import { addPerson, addProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/status/drift';
const foreign = '0193a5c0-0000-7000-8000-00000000f0f0';

/** How often the method is called from now on with arguments that count. */
function countCalls<K extends string>(
  target: Record<K, (...args: never[]) => unknown>,
  name: K,
  counts: (args: readonly unknown[]) => boolean,
): () => number {
  let calls = 0;
  const method = target[name].bind(target) as (...args: unknown[]) => unknown;
  const counted = (...args: unknown[]) => {
    if (counts(args)) calls += 1;
    return method(...args);
  };
  Object.assign(target, { [name]: counted });
  return () => calls;
}

describe('the reconciler', () => {
  let server: TestServer;

  beforeEach(async () => {
    server = await startServer({ flags: { tasks: { observe: 0.05 } } });
  });
  afterEach(() => server.stop());

  async function drift(api = server.admin): Promise<Drift[]> {
    return (await api.get<Drift[]>(path)).body;
  }

  /** The reports, once there are as many as expected. */
  function reports(count: number): Promise<Drift[]> {
    return eventually(
      async () => {
        const found = await drift();
        return found.length === count ? found : undefined;
      },
      { what: `${count} reports` },
    );
  }

  function putServer(id: string): Promise<unknown> {
    const { flavors, images } = server.catalog;
    const request = {
      id,
      hostname: 'x',
      flavorId: flavors['tiny'] ?? '',
      imageId: images['sim-linux'] ?? '',
      tags: [],
    };
    return server.cloud.ensureServer(request, new AbortController().signal);
  }

  it('tells of a machine that is off against the last wish, leaves it off, and forgets it when it agrees again', async () => {
    const { metadata } = await server.running('a');
    await server.running('b');
    server.cloud.interfere(metadata.id, { powerState: 'Stopped' });
    const [report] = await reports(1);
    expect(report).to.include({ kind: 'power', instanceId: metadata.id, name: 'a' });
    expect(report?.projectId).to.equal(server.catalog.projectId);
    expect(report?.message).to.match(/start it, or stop/);
    expect(server.cloud.servers().find(({ id }) => id === metadata.id)?.powerState).to.equal('Stopped');
    await server.admin.post(`/api/v2/instances/${metadata.id}/start`);
    await reports(0);
  });

  it('tells of a machine that runs against the last wish, and does not power it off', async () => {
    const { metadata } = await server.running('a');
    await server.admin.post(`/api/v2/instances/${metadata.id}/stop`);
    await server.settled(metadata.id, ({ status }) => status.powerState === 'Stopped');
    server.cloud.interfere(metadata.id, { powerState: 'Running' });
    const [report] = await reports(1);
    expect(report).to.include({ kind: 'power', instanceId: metadata.id });
    expect(server.cloud.servers()[0]?.powerState).to.equal('Running');
    await server.admin.post(`/api/v2/instances/${metadata.id}/stop`);
    await reports(0);
  });

  for (const powerState of ['Stopping', 'Queued', 'Error'] as const) {
    it(`tells of a machine that stays ${powerState} with no task at work on it, until a verb leads out`, async () => {
      const { metadata } = await server.running('a');
      server.cloud.interfere(metadata.id, { powerState });
      const [report] = await reports(1);
      expect(report).to.include({ kind: 'power', instanceId: metadata.id });
      expect(report?.message).to.match(/start or stop it/);
      const { body } = await server.admin.get<Instance>(`/api/v2/instances/${metadata.id}`);
      expect(body.status.powerState).to.equal(powerState);
      await server.admin.post(`/api/v2/instances/${metadata.id}/start`);
      await reports(0);
    });
  }

  it('tells of a machine that is lost, until its instance is deleted', async () => {
    const { metadata } = await server.running('a');
    server.cloud.interfere(metadata.id, 'vanish');
    const [report] = await reports(1);
    expect(report).to.include({ kind: 'absent', instanceId: metadata.id });
    const { body } = await server.admin.get<Instance>(`/api/v2/instances/${metadata.id}`);
    expect(body.status.powerState).to.equal('Error');
    await server.deleteInstance(metadata.id);
    await reports(0);
  });

  it('tells of a machine that stands though its making failed, and of none that was never made', async () => {
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 2 });
    const [made, unmade] = [await server.createInstance('made'), await server.createInstance('unmade')];
    for (const { status } of [made, unmade]) await server.ended(status.taskId);
    await putServer(made.metadata.id);
    const [report] = await reports(1);
    expect(report).to.include({ kind: 'unfinished', instanceId: made.metadata.id, name: 'made' });
    expect(report?.message).to.match(/Restart the task, or delete/);
    expect(server.cloud.servers().map(({ id }) => id)).to.deep.equal([made.metadata.id]);
    await server.admin.post(`/api/v2/tasks/${made.status.taskId ?? ''}/restart`);
    await reports(0);
    const { body } = await server.admin.get<Instance>(`/api/v2/instances/${unmade.metadata.id}`);
    expect(body.metadata.provisioningStatusDetail?.message).to.include('programmed to fail');
  });

  it('tells of a machine that is left over from a deletion that failed', async () => {
    const { metadata } = await server.running('a');
    server.cloud.program({ verb: 'deleteServer', error: 'terminal', times: 1 });
    const deletion = await server.admin.delete(`/api/v2/instances/${metadata.id}`);
    await server.ended(deletion.headers.get('location'));
    const [report] = await reports(1);
    expect(report).to.include({ kind: 'unfinished', instanceId: metadata.id });
    expect(report?.message).to.match(/Delete it again/);
    await server.deleteInstance(metadata.id);
    await reports(0);
  });

  it('does not take what a long look has listed in its beginning for what is true now', async () => {
    const kept = await server.running('kept');
    const deleted = await server.running('deleted');
    const { cloud } = server;
    const [ghost] = await cloud.describeServers([deleted.metadata.id], new AbortController().signal);
    await server.deleteInstance(deleted.metadata.id);
    const describe = cloud.describeServers.bind(cloud);
    let lists = 0;
    cloud.describeServers = async (ids, signal) => {
      const seen = await describe(ids, signal);
      if (ids !== undefined) return seen;
      lists += 1;
      // As of the time before the one got another address, and the other was deleted.
      const before = seen.map((one) => ({ ...one, privateIP: '10.9.9.9' }));
      return ghost === undefined ? before : [...before, ghost];
    };
    const removals = countCalls(cloud, 'deleteServer', () => true);
    cloud.program({ verb: 'describeServers', delay: 1100, times: 1000 });
    await eventually(() => lists >= 2, { what: 'two looks' });
    const { body } = await server.admin.get<Instance>(`/api/v2/instances/${kept.metadata.id}`);
    expect(body.status.privateIP).to.be.a('string').and.to.equal(kept.status.privateIP);
    expect(removals()).to.equal(0);
    cloud.clearProgram();
  }).timeout(20_000);

  it('reads no instance by itself as long as nothing has changed', async () => {
    for (const name of ['a', 'b', 'c']) await server.running(name);
    const { store } = server.app;
    const rounds = countCalls(server.cloud, 'describeServers', ([ids]) => ids === undefined);
    // Behind what was under way.
    await eventually(() => rounds() >= 2);
    const reads = countCalls(store, 'get', ([collection]) => collection === instances);
    const before = rounds();
    await eventually(() => rounds() >= before + 3);
    expect(reads()).to.equal(0);
  });

  it('tells superusers alone of a machine that is nobody’s, and leaves it as it is', async () => {
    const member = await addPerson(server.app, 'member');
    await addProject(server.app, { name: 'theirs', members: [member] });
    await putServer(foreign);
    const [report] = await reports(1);
    expect(report).to.include({ kind: 'orphan', instanceId: foreign });
    expect(report).not.to.have.any.keys('projectId', 'name');
    expect(await drift(member.api)).to.deep.equal([]);
    expect(server.cloud.servers().map(({ id }) => id)).to.deep.equal([foreign]);
    server.cloud.interfere(foreign, 'vanish');
    await reports(0);
  });

  it('removes the machine that came back after its instance was deleted', async () => {
    const { metadata } = await server.running('a');
    await server.deleteInstance(metadata.id);
    // As a worker would that was frozen in the middle of the create and has lost its lease.
    await putServer(metadata.id);
    await eventually(() => server.cloud.servers().length === 0, { what: 'the machine to go' });
    expect(await drift()).to.deep.equal([]);
  });

  it('shows drift to the members of its project only, in pages', async () => {
    const member = await addPerson(server.app, 'member');
    const project = await addProject(server.app, { name: 'theirs', members: [member] });
    const own = await server.running('own', { spec: { projectId: project.id } }, member.api);
    const other = await server.running('other');
    for (const { metadata } of [own, other]) server.cloud.interfere(metadata.id, { powerState: 'Stopped' });
    await reports(2);
    expect((await drift(member.api)).map(({ name }) => name)).to.deep.equal(['own']);
    const first = await server.admin.get<Drift[]>(`${path}?limit=1`);
    expect(first.body).to.have.length(1);
    expect(first.headers.get('link')).to.include('rel="next"');
    const filtered = await server.admin.get<Drift[]>(`${path}?projectID=${project.id}`);
    expect(filtered.body.map(({ name }) => name)).to.deep.equal(['own']);
  });

  /** Whole rounds of the comparison that begin and end from now on, with nothing to tell. */
  async function quietRounds(): Promise<void> {
    const rounds = countCalls(server.cloud, 'describeServers', ([ids]) => ids === undefined);
    // The first may be under way already, and the reports of one are stored before the next begins.
    for (let round = 1; round <= 4; round += 1) {
      await eventually(() => rounds() >= round, { what: `round ${round}` });
      expect(await drift()).to.deep.equal([]);
    }
  }

  it('tells nothing while tasks are at work', async () => {
    const { metadata } = await server.running('a');
    // It fails in the end, and touches nothing: until then the machine runs against the last wish.
    server.cloud.program({ verb: 'stopServer', delay: 60_000, error: 'transient', times: 1 });
    const stop = await server.admin.post(`/api/v2/instances/${metadata.id}/stop`);
    await eventually(async () => (await server.task(stop.headers.get('location'))).steps.length === 1);
    await quietRounds();
    expect(server.cloud.servers()[0]?.powerState).to.equal('Running');
    expect(await server.task(stop.headers.get('location'))).to.include({ status: 'running' });
    await server.admin.post(`${new URL(stop.headers.get('location') ?? '').pathname}/abort`);
    // Now it is nobody's any more.
    expect((await reports(1))[0]).to.include({ kind: 'power', instanceId: metadata.id });
  });

  it('tells nothing of a stop that waits for its next try', async () => {
    await server.stop();
    server = await startServer({ flags: { tasks: { observe: 0.05, backoff: 600, backoffMax: 600 } } });
    const { metadata } = await server.running('a');
    server.cloud.program({ verb: 'stopServer', error: 'transient', times: 1 });
    const stop = await server.admin.post(`/api/v2/instances/${metadata.id}/stop`);
    const waits = async () => (await server.task(stop.headers.get('location'))).retryTime !== undefined;
    await eventually(waits);
    await quietRounds();
    expect(server.cloud.servers()[0]?.powerState).to.equal('Running');
    expect(await waits()).to.be.true;
  });
});
