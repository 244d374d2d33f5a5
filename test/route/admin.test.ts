import { expect } from 'chai';
import type { QueueCleared, RestartResult } from '../../src/model/admin.js';
import type { Instance } from '../../src/model/instance.js';
import { eventually } from '../support/eventually.js';
import { absentId } from '../support/fuzz-seed.js';
import { addPerson, addProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('DELETE /api/v2/admin/task_queue', () => {
  let server: TestServer;
  let holder: Instance;

  beforeEach(async () => {
    server = await startServer({ flags: { tasks: { concurrency: 1 } } });
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    holder = await server.createInstance('holder');
    await eventually(async () => (await server.task(holder.status.taskId)).status === 'running');
  });
  afterEach(async () => {
    await server.deleteInstance(holder.metadata.id);
    await server.stop();
  });

  const clear = (query = '') => server.admin.call<QueueCleared>('DELETE', `/api/v2/admin/task_queue${query}`);

  it('cancels what waits, whatever holds it, and lets go on what runs', async () => {
    const waiting = await Promise.all(['a', 'b', 'c'].map((name) => server.createInstance(name)));
    await server.admin.call('PATCH', `/api/v2/tasks/${waiting[0]?.status.taskId ?? ''}`, {
      body: { activated: false },
    });
    const { status, body } = await clear();
    expect(status).to.equal(200);
    expect(body).to.deep.equal({ cancelled: 3, aborting: 0 });
    for (const one of waiting) {
      expect(await server.task(one.status.taskId)).to.include({ status: 'cancelled' });
      expect((await server.settled(one.metadata.id)).metadata.provisioningStatus).to.equal('error');
    }
    expect(await server.task(holder.status.taskId)).to.include({ status: 'running' });
    expect((await clear()).body).to.deep.equal({ cancelled: 0, aborting: 0 });
  });

  it('is narrowed by type, project and region', async () => {
    const one = await server.createInstance('one');
    const other = await addProject(server.app, { name: 'other' });
    for (const query of ['type=instance.stop', `projectID=${other.id}`])
      expect((await clear(`?${query}`)).body.cancelled, query).to.equal(0);
    const { projectId, regionId } = server.catalog;
    const all = `?type=instance.create&projectID=${projectId}&regionID=${regionId}`;
    expect((await clear(all)).body.cancelled).to.equal(1);
    expect(await server.task(one.status.taskId)).to.include({ status: 'cancelled' });
  });

  it('names each region and project that does not exist, with what there is, and cancels nothing then', async () => {
    const waiting = await server.createInstance('waiting');
    const { projectId, regionId } = server.catalog;
    const query = `regionID=${regionId}&regionID=${absentId}&projectID=${absentId}&projectID=${projectId}`;
    const reply = await server.admin.refused(
      'invalid_reference',
      'DELETE',
      `/api/v2/admin/task_queue?${query}`,
    );
    expect(reply.body.errors?.map(({ parameter }) => parameter)).to.deep.equal(['projectID', 'regionID']);
    const [project, region] = reply.body.errors ?? [];
    expect(project?.message).to.include(absentId).and.to.include('GET /api/v2/projects');
    expect(region?.message).to.include(absentId).and.to.include(`${regionId} (simulated)`);
    for (const alone of [`regionID=${absentId}`, `projectID=${absentId}`, `regionID=${projectId}`])
      await server.admin.refused('invalid_reference', 'DELETE', `/api/v2/admin/task_queue?${alone}`);
    const unknown = await server.admin.refused(
      'invalid_parameter',
      'DELETE',
      '/api/v2/admin/task_queue?type=instance.halt',
    );
    expect(unknown.body.errors?.[0]?.parameter).to.match(/^type/);
    expect(unknown.body.message).to.include('instance.stop');
    expect(await server.task(waiting.status.taskId)).to.include({ status: 'pending' });
    expect((await clear()).body.cancelled).to.equal(1);
  });

  it('does not exist for anybody else', async () => {
    const person = await addPerson(server.app, 'nobody');
    await person.api.refused('not_found', 'DELETE', '/api/v2/admin/task_queue');
    await person.api.refused('not_found', 'POST', '/api/v2/admin/restart', { body: {} });
  });
});

describe('POST /api/v2/admin/restart', () => {
  let server: TestServer;
  const restart = (body: object) => server.admin.post<RestartResult>('/api/v2/admin/restart', body);

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  it('restarts what failed in the window, oldest failure first, and tells of each that cannot be; a dry run only tells', async () => {
    const start = new Date().toISOString();
    const failed: string[] = [];
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 3 });
    for (const name of ['f1', 'f2', 'f3']) {
      const { status } = await server.createInstance(name);
      failed.push((await server.ended(status.taskId)).id);
    }
    const end = new Date(Date.now() + 1).toISOString();
    const [first = '', second = '', third = ''] = failed;
    const gone = await server.task(second);
    await server.deleteInstance(gone.subject?.id ?? '');

    const dry = await restart({ start, end, dryRun: true });
    expect(dry.body).to.deep.equal({ restarted: failed, refused: [] });
    expect((await server.task(first)).status).to.equal('failed');

    expect((await restart({ start, end, types: ['instance.stop'] })).body.restarted).to.deep.equal([]);
    expect(
      (await restart({ start: end, end: new Date(Date.now() + 60_000).toISOString() })).body.restarted,
    ).to.deep.equal([]);

    const { body } = await restart({ start, end });
    expect(body.restarted).to.deep.equal([first, third]);
    expect(body.refused.map(({ id, code }) => [id, code])).to.deep.equal([[second, 'task_state_conflict']]);
    for (const id of [first, third]) expect(await server.ended(id)).to.include({ status: 'succeeded' });
    expect((await restart({ start, end })).body.restarted).to.deep.equal([]);
  });

  it('names each project and type that does not exist, and restarts nothing then', async () => {
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 1 });
    const { status } = await server.createInstance('still-failed');
    await server.ended(status.taskId);
    const window = { start: '2026-01-01T00:00:00Z', end: '2100-01-01T00:00:00Z' };
    const body = { ...window, projectIds: [server.catalog.projectId, absentId] };
    for (const dryRun of [true, false]) {
      const reply = await server.admin.refused('invalid_reference', 'POST', '/api/v2/admin/restart', {
        body: { ...body, dryRun },
      });
      expect(reply.body.errors?.map(({ pointer }) => pointer)).to.deep.equal(['/projectIds/1']);
      expect(reply.body.message).to.include(absentId);
    }
    const reply = await server.admin.refused('invalid_body', 'POST', '/api/v2/admin/restart', {
      body: { ...window, types: ['instance.create', 'instance.crate'] },
    });
    expect(reply.body.errors?.[0]?.pointer).to.equal('/types/1');
    expect(reply.body.errors?.[0]?.message).to.include('instance.create');
    expect(await server.task(status.taskId)).to.include({ status: 'failed' });
  });

  it('refuses a window that ends before it starts, and a body that is none', async () => {
    const body = { start: '2026-01-02T00:00:00Z', end: '2026-01-01T00:00:00Z' };
    const reply = await server.admin.refused('invalid_body', 'POST', '/api/v2/admin/restart', { body });
    expect(reply.body.errors?.[0]?.pointer).to.equal('/end');
    for (const wrong of [{}, { start: 'x', end: 'y' }, { ...body, dry_run: true }])
      await server.admin.refused('invalid_body', 'POST', '/api/v2/admin/restart', { body: wrong });
    const leap = { start: '2016-12-31T23:59:60Z', end: '2026-01-01T00:00:00Z' };
    await server.admin.refused('invalid_body', 'POST', '/api/v2/admin/restart', { body: leap });
  });
});
