/** If-Match on tasks: what a worker does to a task between two requests of a user stops neither. */
import { expect } from 'chai';
import type { Task } from '../../../src/model/task.js';
import { eventually } from '../../support/eventually.js';
import { startServer, type TestServer } from '../../support/server.js';

describe('If-Match on a task', () => {
  let server: TestServer;

  const read = async (path: string) => {
    const { body, headers } = await server.admin.get<Task>(path);
    return { task: body, tag: headers.get('etag') ?? '' };
  };
  /** A task whose create is held in the region, with the tag from before it ran. */
  const held = async (name: string) => {
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const { metadata, status } = await server.createInstance(name);
    const path = `/api/v2/tasks/${status.taskId ?? ''}`;
    return { path, id: metadata.id, ...(await read(path)) };
  };
  const running = (path: string) =>
    eventually(async () => {
      const now = await read(path);
      return now.task.steps.length > 0 ? now : undefined;
    });
  const call = (method: string, path: string, tag: string, body?: unknown) =>
    server.admin.call(method, path, {
      headers: { 'If-Match': tag },
      ...(body === undefined ? {} : { body }),
    });

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  it('lets a PATCH and an abort pass though the task has gone on, and stops them once a user has changed it', async () => {
    const { path, tag, id } = await held('goes-on');
    const later = await running(path);
    expect((await call('PATCH', path, tag, { priority: 7 })).status, `${tag} ${later.tag}`).to.equal(200);
    for (const old of new Set([tag, later.tag])) {
      expect((await call('PATCH', path, old, { priority: 8 })).status).to.equal(412);
      expect((await call('POST', `${path}/abort`, old)).status).to.equal(412);
    }
    expect((await read(path)).task)
      .to.include({ priority: 7 })
      .and.not.to.have.property('aborting');
    expect((await call('POST', `${path}/abort`, (await read(path)).tag)).status).to.equal(202);
    expect((await server.ended(path)).status).to.equal('cancelled');
    await server.deleteInstance(id);
  });

  it('lets one restart pass for each tag, read before the task ended or after', async () => {
    const { path, id } = await held('once-more');
    await running(path);
    await server.admin.post(`${path}/abort`);
    const asked = await read(path);
    await server.ended(path);
    expect((await call('POST', `${path}/restart`, '"0"')).status).to.equal(412);
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    expect((await call('POST', `${path}/restart`, asked.tag)).status).to.equal(202);
    expect((await call('POST', `${path}/restart`, asked.tag)).status).to.equal(412);
    await server.deleteInstance(id);
  });
});
