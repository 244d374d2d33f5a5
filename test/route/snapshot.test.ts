/** Images of the disks of instances: made by a task, and used like any other image. */
import { expect } from 'chai';
import type { Image } from '../../src/model/image.js';
import type { Instance } from '../../src/model/instance.js';
import type { Task } from '../../src/model/task.js';
import type { Api, Reply } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { addPerson, addProject, type Person } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const address = (instance: Instance) => `/api/v2/instances/${instance.metadata.id}`;

describe('POST /api/v2/instances/{instanceID}/snapshot', () => {
  let server: TestServer;
  let source: Instance;
  let count = 0;

  before(async () => {
    server = await startServer({
      flags: { limits: { requests: 0 }, tasks: { backoff: 0.05, maxAttempts: 2 } },
    });
    source = await server.running('source');
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  const snapshot = (name: string, { of = source, api = server.admin, metadata = {}, headers = {} } = {}) =>
    api.post<Image>(`${address(of)}/snapshot`, { metadata: { name, ...metadata } }, { headers });
  const image = async (id: string): Promise<Image> =>
    (await server.admin.get<Image>(`/api/v2/images/${id}`)).body;
  const taken = async (): Promise<Image> => {
    const reply = await snapshot(`snap-${(count += 1)}`, { headers: { Prefer: 'wait=10' } });
    expect(reply.body.status.state, reply.text).to.equal('ready');
    return reply.body;
  };
  const ended = (reply: Reply<Image>): Promise<Task> =>
    server.ended(`/api/v2/tasks/${reply.body.status.taskId ?? ''}`);
  const remove = async (id: string): Promise<Task> =>
    server.ended((await server.admin.delete(`/api/v2/images/${id}`)).headers.get('location'));

  it('answers 201 with an image that is being made, and then is ready with its size', async () => {
    server.cloud.program({ verb: 'snapshotServer', delay: 300, times: 1 });
    const metadata = { description: 'before the upgrade', tags: [{ name: 'kind', value: 'backup' }] };
    const reply = await snapshot('first', { metadata });
    expect(reply.status, reply.text).to.equal(201);
    const made = reply.body;
    expect(reply.headers.get('location')).to.equal(`${server.url}/api/v2/images/${made.metadata.id}`);
    expect(made.metadata).to.deep.include({
      name: 'first',
      ...metadata,
      projectId: source.metadata.projectId,
    });
    expect(made.spec).to.deep.include({
      visibility: 'private',
      regionId: source.status.regionId,
      source: { type: 'snapshot', instanceId: source.metadata.id },
    });
    expect(made.spec.os.distro).to.equal('simulated');
    expect(made.status.state).to.equal('creating');
    expect(await image(made.metadata.id)).to.deep.equal(made);
    expect(await ended(reply)).to.include({ type: 'instance.snapshot', status: 'succeeded' });
    const ready = await image(made.metadata.id);
    expect(ready.status.state).to.equal('ready');
    expect(ready.status.sizeBytes).to.be.greaterThan(0);
    expect(ready.status.checksum).to.match(/^sha256:/);
    expect(ready.status).to.not.have.property('taskId');
    const { body } = await server.admin.get<Instance>(address(source));
    expect(body.status.powerState).to.equal('Running');
  });

  it('makes an image from which instances are created, and which then cannot be deleted', async () => {
    const { metadata } = await taken();
    const clone = await server.running('clone', { spec: { imageId: metadata.id } });
    expect(server.cloud.servers().find(({ id }) => id === clone.metadata.id)?.imageId).to.equal(metadata.id);
    await server.admin.refused('in_use', 'DELETE', `/api/v2/images/${metadata.id}`);
    await server.deleteInstance(clone.metadata.id);
    expect(await remove(metadata.id)).to.include({ status: 'succeeded' });
    expect(server.cloud.storedImages()).to.not.include(metadata.id);
  });

  it('makes an image that needs a flavor as large as the disk it was made of', async () => {
    const large = await server.running('large', { spec: { flavorId: server.catalog.flavors['small'] } });
    const reply = await snapshot('large', { of: large, headers: { Prefer: 'wait=10' } });
    expect(reply.body.spec.sizeGiB).to.equal(5);
    const refused = await server.admin.refused('invalid_reference', 'POST', '/api/v2/instances', {
      body: server.instanceBody('too-small', { spec: { imageId: reply.body.metadata.id } }),
    });
    expect(refused.body.errors?.[0]?.message).to.include('5 GiB');
  });

  it('of a stopped instance leaves it stopped', async () => {
    const stopped = await server.running('stopped');
    await server.ended((await server.admin.post(`${address(stopped)}/stop`)).headers.get('location'));
    const reply = await snapshot('of-stopped', { of: stopped, headers: { Prefer: 'wait=10' } });
    expect(reply.body.status.state).to.equal('ready');
    expect((await server.admin.get<Instance>(address(stopped))).body.status.powerState).to.equal('Stopped');
  });

  it('refuses a taken name, and a bad one, naming the member; nothing is made', async () => {
    const { metadata } = await taken();
    const before = server.cloud.storedImages();
    const again = await server.admin.refused('name_taken', 'POST', `${address(source)}/snapshot`, {
      body: { metadata: { name: metadata.name } },
    });
    expect(again.body.errors?.[0]?.pointer).to.equal('/metadata/name');
    for (const [body, pointer] of [
      [{ metadata: { name: '-bad-' } }, '/metadata/name'],
      [{ metadata: {} }, '/metadata/name'],
      [{ metadata: { name: 'x' }, spec: {} }, '/spec'],
      [
        {
          metadata: {
            name: 'x',
            tags: [
              { name: 'a', value: '1' },
              { name: 'a', value: '2' },
            ],
          },
        },
        '/metadata/tags/1/name',
      ],
    ] as const) {
      const reply = await server.admin.refused('invalid_body', 'POST', `${address(source)}/snapshot`, {
        body,
      });
      expect(reply.body.errors?.[0]?.pointer).to.equal(pointer);
    }
    expect(server.cloud.storedImages()).to.deep.equal(before);
    await server.admin.refused('not_found', 'POST', `/api/v2/instances/${metadata.id}/snapshot`, {
      body: { metadata: { name: 'nothing' } },
    });
  });

  it('repeated under the same Idempotency-Key makes one image', async () => {
    const headers = { 'Idempotency-Key': 'the-same-snapshot' };
    const [one, other] = [await snapshot('once', { headers }), await snapshot('once', { headers })];
    expect(other.status).to.equal(201);
    expect(other.body.metadata.id).to.equal(one.body.metadata.id);
    await ended(one);
  });

  it('with dryRun=true tells that it can be done, and does nothing', async () => {
    const before = server.cloud.storedImages();
    const path = `${address(source)}/snapshot?dryRun=true`;
    const reply = await server.admin.post(path, { metadata: { name: 'planned' } });
    expect(reply.body).to.include({ action: 'snapshot', restarts: false, destroys: false });
    const { metadata } = await taken();
    await server.admin.refused('name_taken', 'POST', path, { body: { metadata: { name: metadata.name } } });
    expect(server.cloud.storedImages()).to.deep.equal([...before, metadata.id].sort());
  });

  it('waits for no other task: while one works on the instance it is refused, and the other way round', async () => {
    server.cloud.program({ verb: 'snapshotServer', delay: 60_000, times: 1 });
    const reply = await snapshot('slow');
    await server.admin.refused('instance_busy', 'POST', `${address(source)}/stop`);
    await server.admin.refused('instance_busy', 'POST', `${address(source)}/snapshot`, {
      body: { metadata: { name: 'second' } },
    });
    await server.admin.refused('conflict', 'DELETE', `/api/v2/images/${reply.body.metadata.id}`);
    const body = server.instanceBody('early', { spec: { imageId: reply.body.metadata.id } });
    await server.admin.refused('invalid_reference', 'POST', '/api/v2/instances', { body });
    await server.admin.post(`/api/v2/tasks/${reply.body.status.taskId ?? ''}/abort`);
    await ended(reply);
  });

  it('that is aborted leaves a failed image and nothing in the region; a restart makes it after all', async () => {
    server.cloud.program({ verb: 'snapshotServer', delay: 60_000, times: 1 });
    const reply = await snapshot('aborted');
    const { id } = reply.body.metadata;
    await eventually(async () => (await server.task(reply.body.status.taskId)).status === 'running');
    await eventually(() => server.cloud.storedImages().includes(id));
    await server.admin.post(`/api/v2/tasks/${reply.body.status.taskId ?? ''}/abort`);
    expect(await ended(reply)).to.include({ status: 'cancelled' });
    const failed = await image(id);
    expect(failed.status).to.include({ state: 'failed' });
    expect(failed.status.message).to.include('aborted');
    expect(server.cloud.storedImages()).to.not.include(id);

    await server.admin.post(`/api/v2/tasks/${reply.body.status.taskId ?? ''}/restart`);
    expect(await ended(reply)).to.include({ status: 'succeeded' });
    const { status } = await image(id);
    expect(status.state).to.equal('ready');
    expect(status).to.not.have.property('message');
    await server.admin.refused(
      'task_state_conflict',
      'POST',
      `/api/v2/tasks/${(await ended(reply)).id}/restart`,
    );
  });

  it('that fails for good says why on the image, and leaves nothing in the region', async () => {
    // Carried out, and then reported as failed.
    server.cloud.program({ verb: 'snapshotServer', error: 'terminal', ambiguous: true, times: 1 });
    const reply = await snapshot('failing');
    const { id } = reply.body.metadata;
    const task = await ended(reply);
    expect(task).to.include({ status: 'failed' });
    const { status } = await image(id);
    expect(status).to.deep.equal({ state: 'failed', message: task.cause?.message });
    expect(server.cloud.storedImages()).to.not.include(id);
    expect(await remove(id)).to.include({ status: 'succeeded' });
    await server.admin.refused('task_state_conflict', 'POST', `/api/v2/tasks/${task.id}/restart`);
  });

  it('is retried while it may still work, and makes one image', async () => {
    const before = server.cloud.storedImages().length;
    server.cloud.program({ verb: 'snapshotServer', error: 'transient', ambiguous: true, times: 1 });
    const reply = await snapshot('retried');
    const task = await ended(reply);
    expect(task).to.include({ status: 'succeeded' });
    expect(task.attempts).to.have.length(2);
    expect((await image(reply.body.metadata.id)).status.state).to.equal('ready');
    expect(server.cloud.storedImages()).to.have.length(before + 1);
  });

  it('gives way to a delete of the instance, whether or not it has begun', async () => {
    for (const held of [true, false]) {
      const instance = await server.running(`leaver-${held}`);
      server.cloud.program({ verb: 'snapshotServer', delay: 60_000, times: 1 });
      const reply = await snapshot(`of-leaver-${held}`, { of: instance });
      const task = `/api/v2/tasks/${reply.body.status.taskId ?? ''}`;
      if (held) await server.admin.patch(task, { activated: false });
      else await eventually(async () => (await server.task(reply.body.status.taskId)).status === 'running');
      await server.deleteInstance(instance.metadata.id);
      expect(await ended(reply)).to.include({ status: 'cancelled' });
      const { status } = await image(reply.body.metadata.id);
      expect(status).to.include({ state: 'failed' }).and.not.have.property('taskId');
      expect(server.cloud.storedImages()).to.not.include(reply.body.metadata.id);
      server.cloud.clearProgram();
    }
  });

  it('is refused while the instance has no machine', async () => {
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 1 });
    const instance = await server.createInstance('machineless');
    await server.settled(instance.metadata.id, (one) => one.metadata.provisioningStatus === 'error');
    await server.admin.refused('power_state_conflict', 'POST', `${address(instance)}/snapshot`, {
      body: { metadata: { name: 'of-nothing' } },
    });
  });

  describe('by', () => {
    const people = {} as Record<'operator' | 'reader' | 'stranger', Person>;
    let instance: Instance;

    before(async () => {
      for (const name of ['operator', 'reader', 'stranger'] as const)
        people[name] = await addPerson(server.app, `snapshot-${name}`);
      const project = await addProject(server.app, {
        name: 'snapped',
        members: [people.operator],
        readers: [people.reader],
      });
      instance = await server.running('theirs', { spec: { projectId: project.id } });
    });
    const code = async (api: Api): Promise<number> =>
      (await snapshot(`by-${(count += 1)}`, { of: instance, api })).status;

    it('those who may operate in the project, and nobody else', async () => {
      expect(await code(people.reader.api)).to.equal(403);
      expect(await code(people.stranger.api)).to.equal(404);
      expect(await code(people.operator.api)).to.equal(201);
    });
  });
});
