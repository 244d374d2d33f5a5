/** Another flavor for an instance that keeps its disk. */
import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import type { Plan } from '../../src/model/plan.js';
import { eventually } from '../support/eventually.js';
import { startServer, type TestServer } from '../support/server.js';

describe('a larger flavor', () => {
  let server: TestServer;

  const at = ({ metadata }: Instance, rest = '') => `/api/v2/instances/${metadata.id}${rest}`;
  const flavor = (name: string) => ({ spec: { flavorId: server.catalog.flavors[name] } });
  const machine = (instance: Instance) =>
    server.cloud.servers().find(({ id }) => id === instance.metadata.id);
  const acts = (instance: Instance) => server.cloud.history(instance.metadata.id).map(({ verb }) => verb);

  before(async () => {
    server = await startServer({ flags: { tasks: { backoff: 0.01, concurrency: 4 } } });
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  it('is given to the machine in place, which keeps running with its disk and its address', async () => {
    const instance = await server.running('growing');
    const planned = await server.admin.call<Plan>('PATCH', at(instance, '?dryRun=true'), {
      body: flavor('small'),
    });
    expect(planned.body).to.deep.include({ action: 'resize', restarts: false, destroys: false });
    expect(planned.body.changes.map(({ pointer }) => pointer)).to.deep.equal(['/spec/flavorId']);
    const reply = await server.admin.patch<Instance>(at(instance), flavor('small'));
    expect(reply.status, reply.text).to.equal(202);
    expect(reply.body.spec.flavorId).to.equal(flavor('small').spec.flavorId);
    const task = await server.ended(reply.headers.get('location'));
    expect(task).to.include({ type: 'instance.resize', status: 'succeeded' });
    expect(task.steps.map(({ name }) => name)).to.deep.equal(['resizeServer']);
    const after = await server.settled(instance.metadata.id);
    const { generation: _was, observedGeneration: _seen, ...same } = instance.status;
    expect(after.status).to.deep.include(same);
    expect(after.status.observedGeneration).to.equal(after.status.generation);
    expect(after.metadata).to.include({ provisioningStatus: 'provisioned', healthStatus: 'healthy' });
    expect(acts(instance)).to.deep.equal(['ensureServer', 'resizeServer']);
    expect(machine(instance)).to.include({ ...flavor('small').spec, boots: 1, powerState: 'Running' });
    // Not even when the machine may be wiped.
    const more = await server.admin.patch<Instance>(at(instance, '?allowReplace=true'), flavor('medium'));
    expect(await server.ended(more.headers.get('location'))).to.include({ type: 'instance.resize' });
  });

  it('cannot have a smaller disk, unless the machine may be replaced', async () => {
    const instance = await server.running('shrinking', flavor('medium'));
    const reply = await server.admin.refused('replace_required', 'PATCH', at(instance), {
      body: flavor('tiny'),
    });
    expect(reply.status).to.equal(422);
    expect(reply.body.errors).to.deep.equal([
      {
        pointer: '/spec/flavorId',
        message: 'A disk cannot shrink from 20 GB to 1 GB: replaces the machine.',
      },
    ]);
    const forced = await server.admin.patch(at(instance, '?allowReplace=true'), flavor('tiny'));
    expect(await server.ended(forced.headers.get('location'))).to.include({ type: 'instance.replace' });
    expect(machine(instance)).to.include(flavor('tiny').spec);
  });

  it('is shared by a repeat, and blocks other work until it is given', async () => {
    const instance = await server.running('repeated');
    server.cloud.program({ verb: 'resizeServer', delay: 60_000, times: 1 });
    const first = await server.admin.patch(at(instance), flavor('small'));
    const again = await server.admin.patch(at(instance), flavor('small'));
    expect(again.headers.get('location')).to.be.a('string').and.equal(first.headers.get('location'));
    await server.admin.refused('instance_busy', 'PATCH', at(instance), { body: flavor('medium') });
    await server.admin.refused('instance_busy', 'POST', at(instance, '/stop'));
    await server.deleteInstance(instance.metadata.id);
  });

  it('is taken back when the region refuses it, or when the task is aborted, and can be tried again', async () => {
    const instance = await server.running('refused');
    server.cloud.program({ verb: 'resizeServer', error: 'terminal', times: 1 });
    const refused = await server.admin.patch(at(instance), flavor('small'));
    const task = await server.ended(refused.headers.get('location'));
    expect(task).to.include({ status: 'failed' });
    const after = await server.settled(instance.metadata.id);
    expect(after.spec).to.deep.equal(instance.spec);
    expect(after.metadata).to.include({ provisioningStatus: 'provisioned' });
    expect(after.metadata.provisioningStatusDetail?.message).to.include('programmed to fail');
    const restarted = await server.admin.post(`/api/v2/tasks/${task.id}/restart`);
    expect(restarted.status, restarted.text).to.equal(202);
    expect(await server.ended(task.id)).to.include({ status: 'succeeded' });
    expect((await server.settled(instance.metadata.id)).spec).to.include(flavor('small').spec);
    expect(machine(instance)).to.include(flavor('small').spec);

    server.cloud.program({ verb: 'resizeServer', delay: 60_000, times: 1 });
    const slow = await server.admin.patch(at(instance), flavor('medium'));
    const id = slow.headers.get('location')?.split('/').at(-1) ?? '';
    await eventually(async () => (await server.task(id)).status === 'running');
    await server.admin.post(`/api/v2/tasks/${id}/abort`);
    expect(await server.ended(id)).to.include({ status: 'cancelled' });
    expect((await server.settled(instance.metadata.id)).spec).to.include(flavor('small').spec);
  });

  it('is given once, although the answers of the region are lost', async () => {
    const instance = await server.running('lossy');
    server.cloud.program({ verb: 'resizeServer', error: 'transient', ambiguous: true, times: 1 });
    const reply = await server.admin.patch(at(instance), flavor('small'));
    expect(await server.ended(reply.headers.get('location'))).to.include({ status: 'succeeded' });
    expect(machine(instance)).to.include({ ...flavor('small').spec, boots: 1 });
  });

  it('is given to a stopped instance, which stays off', async () => {
    const instance = await server.running('resting');
    await server.ended((await server.admin.post(at(instance, '/stop'))).headers.get('location'));
    const reply = await server.admin.patch(at(instance), flavor('small'));
    expect(await server.ended(reply.headers.get('location'))).to.include({ status: 'succeeded' });
    expect((await server.settled(instance.metadata.id)).status.powerState).to.equal('Stopped');
  });
});
