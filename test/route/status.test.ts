import { expect } from 'chai';
import { insert } from '../../src/data/store/port.js';
import { tasks } from '../../src/data/task.js';
import { firstIdAt } from '../../src/model/common.js';
import type { QueueStatus, RecentTasks } from '../../src/model/status.js';
import { addPerson, addProject } from '../support/people.js';
import { taskRecord } from '../support/rows.js';
import { startServer, type TestServer } from '../support/server.js';
import { uuidv7 } from 'uuidv7';

describe('GET /api/v2/status/recent_tasks', () => {
  let server: TestServer;
  const recent = async (query = '') =>
    (await server.admin.get<RecentTasks>(`/api/v2/status/recent_tasks${query}`)).body;

  before(async () => {
    server = await startServer();
    for (const name of ['one', 'two']) await server.running(name);
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 1 });
    await server.ended((await server.createInstance('three')).status.taskId);
    const { projectId, organizationId, regionId } = server.catalog;
    const old = taskRecord(uuidv7(), {
      projectId,
      organizationId,
      regionId,
      queue: 'done',
      status: 'cancelled',
    });
    const id = firstIdAt(Date.now() - 45 * 60_000).replace('-0000-0000-', '-7000-8000-');
    await server.app.store.write([insert(tasks, id, old)]);
  });
  after(() => server.stop());

  it('counts the tasks that were made in the last minutes, by status', async () => {
    const answer = await recent();
    expect(answer).to.include({ minutes: 30, total: 3, succeeded: 2, failed: 1, cancelled: 0, pending: 0 });
    expect(answer).not.to.have.property('tasks');
    expect(Date.now() - Date.parse(answer.since)).to.be.within(30 * 60_000, 30 * 60_000 + 5000);
    expect(await recent('?minutes=60')).to.include({ total: 4, cancelled: 1 });
  });

  it('lists them when asked to, newest first, perhaps of one status', async () => {
    const names = async (query: string) => (await recent(query)).tasks?.map((task) => task.subject?.name);
    expect(await names('?verbose=true')).to.deep.equal(['three', 'two', 'one']);
    expect(await names('?verbose=true&status=succeeded&limit=1')).to.deep.equal(['two']);
    expect(await names('?verbose=true&status=inactive')).to.deep.equal([]);
  });

  it('refuses what would say nothing, or too much', async () => {
    for (const query of [
      'minutes=0',
      'minutes=1441',
      'minutes=x',
      'status=failed',
      'limit=3',
      'verbose=maybe',
    ])
      await server.admin.refused('invalid_parameter', 'GET', `/api/v2/status/recent_tasks?${query}`);
  });

  it('reports only their own projects to a member', async () => {
    const person = await addPerson(server.app, 'looker');
    const read = async () =>
      (await person.api.get<RecentTasks>('/api/v2/status/recent_tasks?verbose=true')).body;
    expect(await read()).to.deep.include({ total: 0, tasks: [] });
    await addProject(server.app, { name: 'looked', members: [person] });
    await server.running('theirs', {}, person.api);
    const { tasks: listed, ...counts } = await read();
    expect(counts).to.include({ total: 1, succeeded: 1 });
    expect(listed?.map((task) => task.subject?.name)).to.deep.equal(['theirs']);
  });
});

describe('GET /api/v2/status/queue', () => {
  it('tells depth, age, running and rate, by region and type; superusers only', async () => {
    const server = await startServer({ flags: { tasks: { concurrency: 1 } } });
    try {
      const read = async () => (await server.admin.get<QueueStatus>('/api/v2/status/queue')).body;
      const idle = await read();
      expect(idle).to.include({ depth: 0, running: 0 }).and.not.to.have.property('oldestTime');
      expect(idle.regions.map(({ regionId, types }) => [regionId, types])).to.deep.equal([
        [server.catalog.regionId, []],
      ]);
      const done = await server.running('done');
      server.cloud.program({ verb: 'stopServer', delay: 60_000, times: 1 });
      await server.admin.post(`/api/v2/instances/${done.metadata.id}/stop`);
      const first = await server.createInstance('first');
      await server.createInstance('second');
      const held = await server.createInstance('third');
      await server.admin.call('PATCH', `/api/v2/tasks/${held.status.taskId ?? ''}`, {
        body: { activated: false },
      });
      const busy = await read();
      const { creationTime } = await server.task(first.status.taskId);
      const expected = {
        depth: 2,
        ready: 2,
        inactive: 1,
        running: 1,
        ratePerMinute: 1,
        oldestTime: creationTime,
      };
      expect(busy).to.include(expected);
      expect(busy.regions[0]).to.include(expected);
      expect(busy.oldestAge).to.be.within(0, 30);
      expect(
        busy.regions[0]?.types.map(({ type, depth, running, ratePerMinute }) => [
          type,
          depth,
          running,
          ratePerMinute,
        ]),
      ).to.deep.equal([
        ['instance.create', 2, 0, 1],
        ['instance.stop', 0, 1, 0],
      ]);
      const person = await addPerson(server.app, 'curious');
      await person.api.refused('not_found', 'GET', '/api/v2/status/queue');
      await server.deleteInstance(done.metadata.id);
    } finally {
      await server.stop();
    }
  });
});
