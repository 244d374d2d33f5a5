/** What happened to an instance, and whether what was last wished has been carried out. */
import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import type { TimelineEntry } from '../../src/model/timeline.js';
import { parsePaginationHeader } from '../../src/route/pipeline/pagination.js';
import type { Reply } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { addPerson } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/instances';

describe('the timeline of an instance', () => {
  let server: TestServer;
  const address = (id: string) => `${path}/${id}/timeline`;
  const read = async (id: string, query = '') => {
    const reply = await server.admin.get<TimelineEntry[]>(`${address(id)}?limit=1000${query}`);
    expect(reply.status, reply.text).to.equal(200);
    return reply.body;
  };
  const act = async (id: string, verb: string, powerState: string) => {
    const reply = await server.admin.post(`${path}/${id}/${verb}`);
    expect(reply.status).to.equal(202);
    await server.ended(reply.headers.get('location'));
    return server.settled(id, ({ status }) => status.powerState === powerState);
  };

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('joins requests, tasks, steps, changes, states and boots in the order of time', async () => {
    const { metadata } = await server.running('told');
    const { id } = metadata;
    await server.admin.patch(`${path}/${id}`, { metadata: { description: 'new', tags: null } });
    await act(id, 'stop', 'Stopped');
    await act(id, 'start', 'Running');
    const entries = await read(id);
    const times = entries.map(({ time }) => time);
    expect(times).to.deep.equal(times.toSorted());
    expect(new Set(entries.map((entry) => entry.id)).size).to.equal(entries.length);
    const of = (kind: string) => entries.filter((entry) => entry.kind === kind);
    expect(of('request').map(({ action, user }) => [action, user])).to.deep.equal([
      ['instance.create', 'admin'],
      ['instance.update', 'admin'],
      ['instance.stop', 'admin'],
      ['instance.start', 'admin'],
    ]);
    expect(of('step').map(({ step, outcome }) => [step, outcome])).to.deep.equal([
      ['ensureServer', undefined],
      ['ensureServer', 'succeeded'],
      ['stopServer', undefined],
      ['stopServer', 'succeeded'],
      ['startServer', undefined],
      ['startServer', 'succeeded'],
    ]);
    expect(of('boot').map(({ boot }) => boot)).to.deep.equal([1, 2]);
    expect(of('change').map(({ changed, user }) => [changed, user])).to.deep.equal([
      [['description'], 'admin'],
    ]);
    const states = of('state').map(({ powerState, provisioningStatus }) => powerState ?? provisioningStatus);
    expect(states).to.include.members(['provisioning', 'provisioned', 'Running', 'Stopping', 'Stopped']);
    const ended = of('task').filter(({ outcome }) => outcome !== undefined);
    expect(ended.map(({ action, outcome }) => `${action ?? ''} ${outcome ?? ''}`)).to.deep.equal([
      'instance.create succeeded',
      'instance.stop succeeded',
      'instance.start succeeded',
    ]);
  });

  it('says why a task failed, and with which request it was asked for', async () => {
    const { metadata } = await server.running('fails');
    const { id } = metadata;
    server.cloud.program({ verb: 'stopServer', error: 'terminal', times: 1 });
    const reply = await server.admin.call('POST', `${path}/${id}/stop`, {
      headers: { 'X-Request-Id': 'why-1' },
    });
    await server.ended(reply.headers.get('location'));
    const entries = await read(id);
    expect(entries.find(({ requestId }) => requestId === 'why-1')).to.include({
      kind: 'request',
      action: 'instance.stop',
    });
    const failed = entries.filter(({ outcome }) => outcome === 'failed');
    expect(failed.map(({ kind }) => kind)).to.include.members(['step', 'task']);
    for (const { message } of failed) expect(message).to.include('programmed to fail');
  });

  it('has what the audit trail says of it besides its tasks', async () => {
    const { metadata } = await server.running('labelled');
    const body = { metadata: { name: 'seen' }, spec: { projectId: server.catalog.projectId } };
    const label = await server.admin.post<{ metadata: { id: string } }>('/api/v2/labels', body);
    const put = await server.admin.post(`${path}/${metadata.id}/labels`, { labelID: label.body.metadata.id });
    expect(put.status, `${label.text} ${put.text}`).to.equal(201);
    const entry = (await read(metadata.id)).find(({ action }) => action === 'label.attach');
    expect(entry).to.include({ kind: 'request', user: 'admin' });
  });

  it('comes in pages, forwards and backwards, that neither skip nor repeat an entry', async () => {
    const { metadata } = await server.running('paged');
    await act(metadata.id, 'reboot', 'Running');
    for (const descending of [false, true]) {
      const all = (await read(metadata.id, `&descending=${descending}`)).map(({ id }) => id);
      const walked: string[] = [];
      let url: string | undefined = `${server.url}${address(metadata.id)}?limit=3&descending=${descending}`;
      while (url !== undefined) {
        const reply: Reply<TimelineEntry[]> = await server.admin.get(url.slice(server.url.length));
        walked.push(...reply.body.map(({ id }) => id));
        url = parsePaginationHeader(reply.headers.get('link')).next?.url;
      }
      expect(walked).to.deep.equal(all);
    }
    expect(
      (await read(metadata.id)).filter(({ kind }) => kind === 'boot').map(({ boot }) => boot),
    ).to.deep.equal([1, 2]);
  });

  it('is hidden from who may not see the instance', async () => {
    const { metadata } = await server.createInstance('hidden');
    const stranger = await addPerson(server.app, 'timeline-stranger');
    await stranger.api.refused('not_found', 'GET', address(metadata.id));
  });
});

describe('the generation of an instance', () => {
  let server: TestServer;
  const statusOf = async (id: string) => (await server.admin.get<Instance>(`${path}/${id}`)).body.status;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('is carried out once the machine is as wished, and grows with each wish', async () => {
    const created = await server.createInstance('wished');
    expect(created.status).to.include({ generation: 1, observedGeneration: 0 });
    const { id } = created.metadata;
    const running = await server.settled(id, ({ status }) => status.powerState === 'Running');
    expect(running.status).to.include({ generation: 1, observedGeneration: 1 });
    const patched = await server.admin.patch<Instance>(`${path}/${id}`, { metadata: { description: 'x' } });
    const { generation = 0, observedGeneration } = patched.body.status;
    expect(generation).to.be.above(1);
    expect(observedGeneration).to.equal(generation);
    expect(await statusOf(id)).to.deep.equal(patched.body.status);
    server.cloud.program({ verb: 'stopServer', error: 'terminal', times: 1 });
    const stop = await server.admin.post(`${path}/${id}/stop`);
    await server.ended(stop.headers.get('location'));
    const failed = await statusOf(id);
    expect(failed.generation).to.be.above(generation);
    expect(failed.observedGeneration).to.equal(generation);
    const again = await server.admin.post(`${path}/${id}/stop`);
    await server.ended(again.headers.get('location'));
    const done = await eventually(async () => {
      const status = await statusOf(id);
      return status.powerState === 'Stopped' ? status : undefined;
    });
    expect(done.observedGeneration).to.equal(done.generation);
  });

  it('is read-only, and an earlier one may be sent back', async () => {
    const created = await server.createInstance('read-back');
    const { id } = created.metadata;
    await server.settled(id, ({ status }) => status.powerState === 'Running');
    await server.admin.patch(`${path}/${id}`, { metadata: { description: 'later' } });
    const back = await server.admin.put(`${path}/${id}`, created);
    expect(back.status, back.text).to.equal(202);
    const body = { status: { generation: 9_999_999 } };
    await server.admin.refused('unprocessable', 'PATCH', `${path}/${id}`, { body });
  });
});
