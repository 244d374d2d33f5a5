import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import type { Task } from '../../src/model/task.js';
import { startServer, type TestServer } from '../support/server.js';

const script = Buffer.from('#!/bin/sh\n').toString('base64');
const config = Buffer.from('#cloud-config\n{}\n').toString('base64');

describe('PUT /api/v2/instances/{instanceID}', () => {
  let server: TestServer;

  const address = (instance: Instance) => `/api/v2/instances/${instance.metadata.id}`;
  const body = (instance: Instance, metadata: object = {}, spec: object = {}) => ({
    metadata: { name: instance.metadata.name, ...metadata },
    spec: { ...instance.spec, ...spec },
  });
  const acts = (instance: Instance) => server.cloud.history(instance.metadata.id).map((entry) => entry.verb);
  const userDataOf = async (instance: Instance) =>
    (await server.app.connector.instances.load(instance.metadata.id))?.value.userData;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  it('changes description and tags at once, without a task and without touching the machine', async () => {
    const instance = await server.running('described');
    const tags = [{ name: 'a', value: '1' }];
    const reply = await server.admin.put<Instance>(
      address(instance),
      body(instance, { description: 'new', tags }),
    );
    expect(reply.status).to.equal(202);
    expect(reply.headers.has('location')).to.be.false;
    expect(reply.body.metadata).to.deep.include({ description: 'new', tags, modifiedBy: 'admin' });
    expect(Date.parse(reply.body.metadata.modifiedTime ?? '')).to.be.at.least(
      Date.parse(instance.metadata.creationTime),
    );
    const { generation = 0 } = reply.body.status;
    expect(generation).to.be.above(instance.status.generation ?? Infinity);
    expect(reply.body.status).to.deep.equal({
      ...instance.status,
      generation,
      observedGeneration: generation,
    });
    expect(acts(instance)).to.deep.equal(['ensureServer']);
    expect((await server.admin.get<Instance>(address(instance))).body).to.deep.equal(reply.body);
    expect((await server.admin.get<Instance[]>('/api/v2/instances?tag=a=1')).body).to.have.length(1);
  });

  it('clears description and tags that are left out', async () => {
    const tags = [{ name: 'gone', value: 'soon' }];
    const instance = await server.running('cleared', { metadata: { description: 'old', tags } });
    const reply = await server.admin.put<Instance>(address(instance), body(instance));
    expect(reply.body.metadata).not.to.have.any.keys('description', 'tags');
    expect((await server.admin.get<Instance[]>('/api/v2/instances?tag=gone=soon')).body).to.deep.equal([]);
  });

  it('keeps userData that is left out, replaces it with another and clears it with an empty one', async () => {
    const instance = await server.running('data', { spec: { userData: script } });
    await server.admin.put(address(instance), body(instance));
    expect(await userDataOf(instance)).to.equal(script);
    const reply = await server.admin.put(address(instance), body(instance, {}, { userData: config }));
    expect(await userDataOf(instance)).to.equal(config);
    expect(reply.text).not.to.include(config);
    await server.admin.put(address(instance), body(instance, {}, { userData: '' }));
    expect(await userDataOf(instance)).to.be.undefined;
  });

  it('refuses another name, and changes nothing then', async () => {
    const instance = await server.running('named');
    const wish = body(instance, { name: 'renamed', description: 'lost' });
    const reply = await server.admin.refused('unprocessable', 'PUT', address(instance), { body: wish });
    expect(reply.body.errors?.[0]?.pointer).to.equal('/metadata/name');
    expect((await server.admin.get<Instance>(address(instance))).body).to.deep.equal(instance);
  });

  it('refuses what would wipe the machine unless that is said, and names each reason', async () => {
    const instance = await server.running('guarded');
    const { flavors, images } = server.catalog;
    const spec = { flavorId: flavors['small'], imageId: images['sim-linux-next'] };
    for (const query of ['', '?allowReplace=false']) {
      const reply = await server.admin.refused('replace_required', 'PUT', address(instance) + query, {
        body: body(instance, { description: 'lost' }, spec),
      });
      expect(reply.body.errors?.map((error) => error.pointer)).to.deep.equal([
        '/spec/flavorId',
        '/spec/imageId',
      ]);
    }
    expect((await server.admin.get<Instance>(address(instance))).body).to.deep.equal(instance);
    expect(acts(instance)).to.deep.equal(['ensureServer']);
  });

  it('with allowReplace deletes the machine and makes the new one, under the same id', async () => {
    const instance = await server.running('replaced');
    const imageId = server.catalog.images['sim-linux-next'];
    const wish = body(instance, { description: 'newer' }, { imageId });
    const reply = await server.admin.put<Instance>(`${address(instance)}?allowReplace=true`, wish);
    expect(reply.status).to.equal(202);
    expect(reply.headers.get('location')).to.equal(
      `${server.url}/api/v2/tasks/${reply.body.status.taskId ?? ''}`,
    );
    expect(reply.headers.get('retry-after')).to.match(/^\d+$/);
    expect(reply.body.status.powerState).to.equal('Rebuilding');
    expect(reply.body.metadata).to.include({ provisioningStatus: 'provisioning', description: 'newer' });
    const task = await server.ended(reply.headers.get('location'));
    expect(task).to.include({ type: 'instance.replace', status: 'succeeded' });
    expect(task.steps.map((step) => step.name)).to.deep.equal(['deleteServer', 'ensureServer']);
    const after = await server.settled(instance.metadata.id);
    expect(after.spec.imageId).to.equal(imageId);
    expect(after.status.powerState).to.equal('Running');
    expect(after.metadata.provisioningStatus).to.equal('provisioned');
    expect(acts(instance)).to.deep.equal(['ensureServer', 'deleteServer', 'ensureServer']);
    const machine = server.cloud.servers().find((one) => one.id === instance.metadata.id);
    expect(machine).to.include({ imageId, boots: 1 });
    expect(after.status).to.include({
      privateIP: instance.status.privateIP,
      macAddress: instance.status.macAddress,
    });
  });

  it('repeated while the machine is being replaced shares the task, whatever else it changes; another replacement is refused', async () => {
    const instance = await server.running('repeated');
    server.cloud.program({ verb: 'deleteServer', delay: 60_000, times: 1 });
    const wish = body(instance, {}, { imageId: server.catalog.images['sim-linux-next'] });
    const replace = `${address(instance)}?allowReplace=true`;
    const first = await server.admin.put<Instance>(replace, wish);
    const location = first.headers.get('location');
    expect(location).to.be.a('string');
    const described = { ...wish, metadata: { ...wish.metadata, description: 'again' } };
    for (const again of [wish, described]) {
      const reply = await server.admin.put<Instance>(replace, again);
      expect(reply.status).to.equal(202);
      expect(reply.headers.get('location')).to.equal(location);
      expect(reply.headers.get('retry-after')).to.match(/^\d+$/);
      expect(reply.body.metadata.description).to.equal(again === described ? 'again' : undefined);
    }
    await server.admin.refused('instance_busy', 'PUT', replace, { body: body(instance) });
    await server.deleteInstance(instance.metadata.id);
    const { body: all } = await server.admin.get<Task[]>(
      `/api/v2/tasks?subjectID=${instance.metadata.id}&type=instance.replace`,
    );
    expect(all).to.have.length(1);
  });

  it('with allowReplace and nothing to replace touches nothing', async () => {
    const instance = await server.running('same');
    const reply = await server.admin.put<Instance>(`${address(instance)}?allowReplace=true`, body(instance));
    expect(reply.headers.has('location')).to.be.false;
    expect(acts(instance)).to.deep.equal(['ensureServer']);
  });

  it('refuses a flavor or image that the region does not have, before any talk of replacing', async () => {
    const instance = await server.running('unknown');
    const absent = '0193a5c0-0000-7000-8000-00000000dead';
    for (const field of ['flavorId', 'imageId']) {
      const wish = body(instance, {}, { [field]: absent });
      const reply = await server.admin.refused('invalid_reference', 'PUT', address(instance), { body: wish });
      expect(reply.body.errors?.[0]?.pointer).to.equal(`/spec/${field}`);
    }
  });

  it('changes the record while a task is at work, but replaces nothing then', async () => {
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const instance = await server.createInstance('busy');
    const reply = await server.admin.put<Instance>(
      address(instance),
      body(instance, { description: 'meanwhile' }),
    );
    expect(reply.body.metadata.description).to.equal('meanwhile');
    expect(reply.body.status.taskId).to.equal(instance.status.taskId);
    const wish = body(instance, {}, { flavorId: server.catalog.flavors['small'] });
    const refused = await server.admin.refused(
      'instance_busy',
      'PUT',
      `${address(instance)}?allowReplace=true`,
      { body: wish },
    );
    expect(refused.body.blockedBy).to.equal(`${server.url}/api/v2/tasks/${instance.status.taskId ?? ''}`);
    await server.deleteInstance(instance.metadata.id);
  });

  it('refuses any change of an instance that is being deleted, and says by which task', async () => {
    const instance = await server.running('leaving');
    server.cloud.program({ verb: 'deleteServer', delay: 800, times: 1 });
    const deletion = await server.admin.delete(address(instance));
    const reply = await server.admin.refused('being_deleted', 'PUT', address(instance), {
      body: body(instance),
    });
    expect(reply.body.blockedBy).to.equal(deletion.headers.get('location'));
  });

  it('shows an error on the instance when the replacement fails for good', async () => {
    const instance = await server.running('unlucky');
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 1 });
    const wish = body(instance, {}, { imageId: server.catalog.images['sim-linux-next'] });
    const reply = await server.admin.put<Instance>(`${address(instance)}?allowReplace=true`, wish);
    expect(await server.ended(reply.headers.get('location'))).to.include({ status: 'failed' });
    const { metadata, status } = await server.settled(instance.metadata.id);
    expect(metadata).to.include({ provisioningStatus: 'error', healthStatus: 'error' });
    expect(metadata.provisioningStatusDetail?.message).to.include('programmed to fail');
    expect(status.powerState).to.equal('Error');
  });

  it('loses none of many changes at once', async () => {
    const instance = await server.running('contended');
    const replies = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        server.admin.put<Instance>(address(instance), body(instance, { description: `change ${index}` })),
      ),
    );
    expect(replies.map((reply) => reply.status)).to.deep.equal(Array(10).fill(202));
    const { body: last } = await server.admin.get<Instance>(address(instance));
    expect(last.metadata.description).to.match(/^change \d$/);
    const stored = await server.app.connector.instances.load(instance.metadata.id);
    expect(stored?.revision).to.be.at.least(11);
  });
});
