/** What was wished stays so while other things change: the power of a machine that is made anew, a flavor that is gone. */
import { expect } from 'chai';
import { instances } from '../../src/data/instance.js';
import { replace } from '../../src/data/store/port.js';
import type { Drift } from '../../src/model/drift.js';
import type { Instance } from '../../src/model/instance.js';
import { eventually } from '../support/eventually.js';
import { absentId } from '../support/fuzz-seed.js';
import { startServer, type TestServer } from '../support/server.js';

const address = ({ metadata }: Instance) => `/api/v2/instances/${metadata.id}`;

describe('wishes', () => {
  let server: TestServer;

  const body = (instance: Instance, spec: object = {}, metadata: object = {}) => ({
    metadata: { name: instance.metadata.name, ...metadata },
    spec: { flavorId: instance.spec.flavorId, imageId: instance.spec.imageId, ...spec },
  });
  const small = () => ({
    flavorId: server.catalog.flavors['small'],
    imageId: server.catalog.images['sim-linux-next'],
  });
  const verb = async (instance: Instance, name: string) => {
    const reply = await server.admin.post(`${address(instance)}/${name}`);
    expect(reply.status, reply.text).to.equal(202);
    return server.ended(reply.headers.get('location'));
  };
  const stopped = async (name: string) => {
    const instance = await server.running(name);
    await verb(instance, 'stop');
    return instance;
  };
  const replaceMachine = async (instance: Instance, spec: object = small()) => {
    const reply = await server.admin.put<Instance>(
      `${address(instance)}?allowReplace=true`,
      body(instance, spec),
    );
    expect(reply.status, reply.text).to.equal(202);
    return reply.headers.get('location');
  };
  const pathOf = (location: string | null) => new URL(location ?? '').pathname;
  const machine = (instance: Instance) =>
    server.cloud.servers().find(({ id }) => id === instance.metadata.id);
  const expectResting = async (instance: Instance) => {
    const { metadata, status } = await server.settled(instance.metadata.id);
    expect(status.powerState).to.equal('Stopped');
    expect(metadata).to.include({ provisioningStatus: 'provisioned', healthStatus: 'healthy' });
    expect(machine(instance)).to.include({ powerState: 'Stopped', boots: 0, ...small() });
  };

  beforeEach(async () => {
    server = await startServer({ flags: { tasks: { concurrency: 1, observe: 0.05 } } });
  });
  afterEach(() => server.stop());

  it('leave the machine of a stopped instance stopped when it is replaced, until somebody starts it', async () => {
    const instance = await stopped('resting');
    expect(await server.ended(await replaceMachine(instance))).to.include({ status: 'succeeded' });
    await expectResting(instance);
    expect((await server.admin.get<Drift[]>('/api/v2/status/drift')).body).to.deep.equal([]);
    expect(await verb(instance, 'start')).to.include({ status: 'succeeded' });
    expect(machine(instance)).to.include({ powerState: 'Running', boots: 1 });
    await server.ended(await replaceMachine(instance, {}));
    expect((await server.settled(instance.metadata.id)).status.powerState).to.equal('Running');
  });

  it('leave it stopped also when the replacement is tried again, restarted after a failure, or after an abort', async () => {
    const instance = await stopped('tried-again');
    server.cloud.program({ verb: 'ensureServer', error: 'transient', ambiguous: true, times: 1 });
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 1 });
    const failed = await replaceMachine(instance);
    expect(await server.ended(failed)).to.include({ status: 'failed' });
    expect((await server.admin.post(`${pathOf(failed)}/restart`)).status).to.equal(202);
    expect(await server.ended(failed)).to.include({ status: 'succeeded' });
    await expectResting(instance);

    const other = await stopped('aborted');
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const aborted = await replaceMachine(other);
    await eventually(async () => (await server.task(aborted)).steps.length === 2);
    await server.admin.post(`${pathOf(aborted)}/abort`);
    expect(await server.ended(aborted)).to.include({ status: 'cancelled' });
    server.cloud.interfere(other.metadata.id, 'vanish');
    expect((await server.admin.post(`${pathOf(aborted)}/restart`)).status).to.equal(202);
    expect(await server.ended(aborted)).to.include({ status: 'succeeded' });
    await expectResting(other);
  });

  it('leave it stopped also when the replacement was called off before it began, and then restarted', async () => {
    const instance = await stopped('called-off');
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const holder = await server.createInstance('holder');
    await eventually(async () => (await server.task(holder.status.taskId)).status === 'running');
    const location = await replaceMachine(instance);
    await server.admin.post(`${pathOf(location)}/abort`);
    const { spec, status } = await server.settled(instance.metadata.id);
    expect(spec.flavorId).to.equal(instance.spec.flavorId);
    expect(status.powerState).to.equal('Stopped');
    await server.admin.post(`${pathOf(location)}/restart`);
    await server.deleteInstance(holder.metadata.id);
    expect(await server.ended(location)).to.include({ status: 'succeeded' });
    await expectResting(instance);
  });

  it('decide, not what is seen: a guest that shut itself down is to run, and does once it is made anew', async () => {
    const instance = await server.running('shut-itself-down');
    server.cloud.interfere(instance.metadata.id, { powerState: 'Stopped' });
    await server.settled(instance.metadata.id, ({ status }) => status.powerState === 'Stopped');
    await server.ended(await replaceMachine(instance));
    expect((await server.settled(instance.metadata.id)).status.powerState).to.equal('Running');
  });

  it('are kept by a create that failed: stopped meanwhile, it makes a machine that rests', async () => {
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 1 });
    const instance = await server.createInstance('made-later', { spec: small() });
    await server.ended(instance.status.taskId);
    expect(await verb(instance, 'stop')).to.include({ status: 'failed' });
    await server.admin.post(`/api/v2/tasks/${instance.status.taskId ?? ''}/restart`);
    expect(await server.ended(instance.status.taskId)).to.include({ status: 'succeeded' });
    await expectResting(instance);
  });

  describe('for an instance whose flavor has left the catalog', () => {
    let instance: Instance;

    beforeEach(async () => {
      const { metadata } = await server.running('retired');
      const found = await server.app.store.get(instances, metadata.id);
      if (found === undefined) throw new Error('the instance is not there');
      // As if it had been made of a flavor that the region no longer offers.
      await server.app.store.write([replace(instances, found, { ...found.value, flavorId: absentId })]);
      instance = (await server.admin.get<Instance>(`/api/v2/instances/${metadata.id}`)).body;
    });

    it('can change its description, tags and time, its power, and its image', async () => {
      const tags = [{ name: 'a', value: 'b' }];
      const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
      const wish = body(instance, { expiresAt }, { description: 'still here', tags });
      const changed = await server.admin.put<Instance>(address(instance), wish);
      expect(changed.status).to.equal(202);
      expect(changed.body.metadata).to.deep.include({ description: 'still here', tags });
      for (const name of ['stop', 'start', 'reboot'])
        expect(await verb(instance, name), name).to.include({ status: 'succeeded' });
      const imageId = server.catalog.images['sim-linux-next'];
      expect(await server.ended(await replaceMachine(instance, { imageId }))).to.include({
        status: 'succeeded',
      });
      expect(machine(instance)).to.include({ imageId, flavorId: absentId, powerState: 'Running' });
      expect((await server.settled(instance.metadata.id)).spec).to.include({ imageId, flavorId: absentId });
      await server.ended(await replaceMachine(instance, small()));
      expect(machine(instance)).to.include(small());
      await server.deleteInstance(instance.metadata.id);
    });

    it('is told of an image that does not fit what the flavor was, and of another flavor that is unknown', async () => {
      const large = body(instance, { imageId: server.catalog.images['sim-large'] });
      const misfit = await server.admin.refused(
        'invalid_reference',
        'PUT',
        `${address(instance)}?allowReplace=true`,
        { body: large },
      );
      expect(misfit.body.errors?.map(({ pointer }) => pointer)).to.deep.equal(['/spec/imageId']);
      expect(misfit.body.message).to.include('2048 MiB');
      const unknown = body(instance, { flavorId: absentId.replace(/.$/, '1') });
      const reply = await server.admin.refused('invalid_reference', 'PUT', address(instance), {
        body: unknown,
      });
      expect(reply.body.errors?.map(({ pointer }) => pointer)).to.deep.equal(['/spec/flavorId']);
      await server.admin.refused('invalid_reference', 'POST', '/api/v2/instances', {
        body: server.instanceBody('new', { spec: { flavorId: absentId } }),
      });
    });
  });

  it('for an instance whose image has left the catalog can change all that needs no new machine of it', async () => {
    const instance = await server.running('imageless');
    const list = server.cloud.listImages.bind(server.cloud);
    server.cloud.listImages = async (...args) =>
      (await list(...args)).filter(({ metadata }) => metadata.id !== instance.spec.imageId);
    const described = await server.admin.put<Instance>(
      address(instance),
      body(instance, {}, { description: 'd' }),
    );
    expect(described.body.metadata.description).to.equal('d');
    for (const name of ['stop', 'start'])
      expect(await verb(instance, name)).to.include({ status: 'succeeded' });
    const reply = await server.admin.refused(
      'invalid_reference',
      'PUT',
      `${address(instance)}?allowReplace=true`,
      {
        body: body(instance, { flavorId: server.catalog.flavors['small'] }),
      },
    );
    expect(reply.body.errors?.map(({ pointer }) => pointer)).to.deep.equal(['/spec/imageId']);
    const imageId = server.catalog.images['sim-linux-next'];
    expect(await server.ended(await replaceMachine(instance, { ...small(), imageId }))).to.include({
      status: 'succeeded',
    });
  });
});
