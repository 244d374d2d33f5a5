import { expect } from 'chai';
import { eventually } from '../support/eventually.js';
import { startServer, type TestServer } from '../support/server.js';

describe('If-Match', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  const tagOf = async (path: string) => (await server.admin.get(path)).headers.get('etag') ?? '';
  const post = (path: string, tag: string) =>
    server.admin.post(path, undefined, { headers: { 'If-Match': tag } });

  it('is minded by the abort of a task: with the tag of another state nothing is aborted', async () => {
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const instance = await server.createInstance('aborted-on-terms');
    const path = `/api/v2/tasks/${instance.status.taskId ?? ''}`;
    await eventually(async () => (await server.task(path)).status === 'running');
    const before = await tagOf(path);
    await server.admin.call('PATCH', path, { body: { priority: 7 } });
    const refused = await post(`${path}/abort`, before);
    expect(refused).to.include({ status: 412 });
    expect(await server.task(path))
      .to.include({ status: 'running' })
      .and.not.to.have.property('aborting');
    expect((await post(`${path}/abort`, await tagOf(path))).status).to.equal(202);
    expect(await server.ended(path)).to.include({ status: 'cancelled' });
  });

  it('is minded by the restart of a task: with the tag of another state nothing runs again', async () => {
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 2 });
    const instance = await server.createInstance('restarted-on-terms');
    const path = `/api/v2/tasks/${instance.status.taskId ?? ''}`;
    await server.ended(path);
    const before = await tagOf(path);
    expect((await post(`${path}/restart`, before)).status).to.equal(202);
    expect((await server.ended(path)).restarts).to.have.length(1);
    expect(await post(`${path}/restart`, before)).to.include({ status: 412 });
    expect(await server.task(path)).to.include({ status: 'failed' });
    expect((await post(`${path}/restart`, await tagOf(path))).status).to.equal(202);
    expect(await server.ended(path)).to.include({ status: 'succeeded' });
  });
});

describe('the restart of a create', () => {
  it('is refused once the deletion of its instance has failed: only that can be tried again', async () => {
    const server = await startServer();
    try {
      server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 1 });
      server.cloud.program({ verb: 'deleteServer', error: 'terminal', times: 1 });
      const instance = await server.createInstance('neither');
      const create = `/api/v2/tasks/${instance.status.taskId ?? ''}`;
      await server.ended(create);
      const address = `/api/v2/instances/${instance.metadata.id}`;
      const deletion = await server.admin.delete(address);
      expect(await server.ended(deletion.headers.get('location'))).to.include({ status: 'failed' });
      await server.admin.refused('being_deleted', 'POST', `${create}/restart`);
      expect(await server.task(create)).to.include({ status: 'failed' });
      expect(server.cloud.servers()).to.deep.equal([]);
      const again = new URL(deletion.headers.get('location') ?? '').pathname;
      expect((await server.admin.post(`${again}/restart`)).status).to.equal(202);
      expect(await server.ended(again)).to.include({ status: 'succeeded' });
    } finally {
      await server.stop();
    }
  });
});

describe('the restart of a replacement', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer({ flags: { tasks: { concurrency: 1 } } });
  });
  after(() => server.stop());

  it('that was cancelled before it began makes the machine that was asked for, once', async () => {
    const { metadata, spec } = await server.running('to-grow');
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const blocker = await server.createInstance('in-the-way');
    await eventually(async () => (await server.task(blocker.status.taskId)).status === 'running');
    const wish = {
      flavorId: server.catalog.flavors['small'],
      imageId: server.catalog.images['sim-linux-next'],
    };
    const body = { metadata: { name: metadata.name }, spec: { ...spec, ...wish } };
    const address = `/api/v2/instances/${metadata.id}?allowReplace=true`;
    const { headers } = await server.admin.put(address, body);
    const task = `/api/v2/tasks/${headers.get('location')?.split('/').at(-1) ?? ''}`;
    await server.admin.post(`${task}/abort`);
    expect((await server.settled(metadata.id)).spec.flavorId).to.equal(spec.flavorId);
    expect((await server.admin.post(`${task}/restart`)).status).to.equal(202);
    await server.deleteInstance(blocker.metadata.id);
    expect(await server.ended(task)).to.include({ status: 'succeeded' });
    expect((await server.settled(metadata.id)).spec).to.include(wish);
    expect(server.cloud.servers().find(({ id }) => id === metadata.id)).to.include(wish);
    await server.admin.refused('task_state_conflict', 'POST', `${task}/restart`);
  });
});
