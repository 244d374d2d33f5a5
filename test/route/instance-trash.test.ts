/** Deleted instances that can come back, and instances that cannot be deleted. */
import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import type { Quota } from '../../src/model/quota.js';
import { eventually } from '../support/eventually.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/instances';

describe('the trash of instances', () => {
  let server: TestServer;
  const read = (id: string) => server.admin.get<Instance>(`${path}/${id}`);
  const machine = (id: string) => server.cloud.servers().find((one) => one.id === id);

  before(async () => {
    server = await startServer({ flags: { tasks: { sweep: 0.1 }, instances: { trash: 24 } } });
  });
  after(() => server.stop());

  async function discard(id: string) {
    const reply = await server.admin.delete(`${path}/${id}`);
    expect(reply.status, reply.text).to.equal(202);
    const task = await server.ended(reply.headers.get('location'));
    expect(task).to.include({ type: 'instance.trash', status: 'succeeded' });
    return reply.headers.get('location');
  }
  async function restore(id: string) {
    const reply = await server.admin.post(`${path}/${id}/restore`);
    expect(reply.status, reply.text).to.equal(202);
    expect(await server.ended(reply.headers.get('location'))).to.include({ status: 'succeeded' });
    return (await read(id)).body;
  }

  it('keeps the machine, stopped, and brings it back with its id, its disk and its name', async () => {
    const before = await server.running('comes-back', { metadata: { description: 'kept' } });
    const { id } = before.metadata;
    await discard(id);
    const trashed = (await read(id)).body;
    expect(trashed.metadata.provisioningStatus).to.equal('deprovisioning');
    const left = Date.parse(trashed.status.trashedUntil ?? '') - Date.now();
    expect(left / 3_600_000).to.be.within(23.9, 24);
    expect(machine(id)).to.include({ powerState: 'Stopped', boots: 1 });
    expect((await server.admin.get(`${path}/${id}/consoleoutput`)).status).to.equal(200);
    await server.admin.refused('being_deleted', 'POST', `${path}/${id}/start`);
    await server.admin.refused('being_deleted', 'PATCH', `${path}/${id}`, {
      body: { metadata: { tags: null } },
    });
    const back = await restore(id);
    expect(back.metadata).to.deep.include({ id, name: 'comes-back', description: 'kept' });
    expect(back.metadata)
      .to.include({ provisioningStatus: 'provisioned' })
      .and.not.to.have.property('deletionTime');
    expect(back.status).to.include({ powerState: 'Running' }).and.not.to.have.property('trashedUntil');
    expect(back.status.observedGeneration).to.equal(back.status.generation);
    expect(machine(id)).to.include({ powerState: 'Running', boots: 2 });
  });

  it('is found by a filter, and a repeated delete changes nothing', async () => {
    const { metadata } = await server.running('found');
    const location = await discard(metadata.id);
    const until = (await read(metadata.id)).body.status.trashedUntil;
    const again = await server.admin.delete(`${path}/${metadata.id}`);
    expect([again.status, again.headers.get('location')]).to.deep.equal([202, location]);
    expect((await read(metadata.id)).body.status.trashedUntil).to.equal(until);
    const names = async (query: string) =>
      (await server.admin.get<Instance[]>(`${path}?${query}`)).body.map((one) => one.metadata.name);
    expect(await names('trashed=true')).to.deep.equal(['found']);
    expect(await names('trashed=false')).to.deep.equal(['comes-back']);
    expect(await names('sort=name')).to.deep.equal(['comes-back', 'found']);
  });

  it('leaves the name to others, and refuses to bring back an instance whose name is taken', async () => {
    const { metadata } = await server.running('wanted');
    await discard(metadata.id);
    const other = await server.running('wanted');
    const refused = await server.admin.refused('name_taken', 'POST', `${path}/${metadata.id}/restore`);
    expect(refused.body.message).to.include('"wanted"');
    await discard(other.metadata.id);
    expect((await restore(metadata.id)).metadata.name).to.equal('wanted');
  });

  it('brings an instance back as it was last asked to be: stopped', async () => {
    const { metadata } = await server.running('rests');
    await server.admin.post(`${path}/${metadata.id}/stop`);
    await server.settled(metadata.id, ({ status }) => status.powerState === 'Stopped');
    await discard(metadata.id);
    expect((await restore(metadata.id)).status.powerState).to.equal('Stopped');
    expect(machine(metadata.id)).to.include({ boots: 1 });
  });

  it('is skipped with purge=true, also by what is in it already', async () => {
    for (const early of [false, true]) {
      const { metadata } = await server.running(`purged-${early}`);
      if (early) await discard(metadata.id);
      const reply = await server.admin.delete(`${path}/${metadata.id}?purge=true`);
      expect(await server.ended(reply.headers.get('location'))).to.include({ type: 'instance.delete' });
      expect((await read(metadata.id)).status).to.equal(404);
      expect(machine(metadata.id)).to.equal(undefined);
    }
  });

  it('has nothing to bring back of what was not deleted, or is being deleted for good', async () => {
    const { metadata } = await server.running('alive');
    await server.admin.refused('not_trashed', 'POST', `${path}/${metadata.id}/restore`);
    server.cloud.program({ verb: 'deleteServer', delay: 60_000, times: 1 });
    await server.admin.delete(`${path}/${metadata.id}?purge=true`);
    await server.admin.refused('not_trashed', 'POST', `${path}/${metadata.id}/restore`);
    const absent = '0193a5c0-0000-7000-8000-000000000001';
    await server.admin.refused('not_found', 'POST', `${path}/${absent}/restore`);
  });

  it('is left for good when its time is over', async () => {
    const { metadata } = await server.running('forgotten');
    const patch = { instances: { trash: 0.00005 } };
    expect((await server.admin.patch('/api/v2/admin/settings', patch)).status).to.equal(200);
    await server.admin.delete(`${path}/${metadata.id}`);
    await eventually(async () => (await read(metadata.id)).status === 404);
    expect(machine(metadata.id)).to.equal(undefined);
    await server.admin.patch('/api/v2/admin/settings', { instances: { trash: null } });
  });

  it('shows why an instance could not be stopped, and takes the delete again', async () => {
    const { metadata } = await server.running('stubborn');
    server.cloud.program({ verb: 'stopServer', error: 'terminal', times: 1 });
    const reply = await server.admin.delete(`${path}/${metadata.id}`);
    expect(await server.ended(reply.headers.get('location'))).to.include({ status: 'failed' });
    const failed = (await read(metadata.id)).body;
    expect(failed.metadata.provisioningStatus).to.equal('error');
    expect(failed.metadata.provisioningStatusDetail?.message).to.include('Delete the instance again');
    await discard(metadata.id);
  });

  it('takes an instance whose machine was never made', async () => {
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 1 });
    const { metadata, status } = await server.createInstance('never-made');
    await server.ended(status.taskId);
    await discard(metadata.id);
    await server.admin.delete(`${path}/${metadata.id}?purge=true`);
    await eventually(async () => (await read(metadata.id)).status === 404);
  });

  it('charges only the disk, and the whole again when the instance comes back', async () => {
    const address = `/api/v2/projects/${server.catalog.projectId}/quota`;
    const used = async () => (await server.admin.get<Quota>(address)).body.used;
    await server.admin.put(address, { limits: {} });
    const empty = await used();
    const { metadata } = await server.running('charged');
    const full = await used();
    await discard(metadata.id);
    expect(await used()).to.deep.equal({ ...empty, disk: full.disk });
    await server.admin.put(address, { limits: { instances: empty.instances } });
    await server.admin.refused('quota_exceeded', 'POST', `${path}/${metadata.id}/restore`);
    await server.admin.put(address, { limits: {} });
    await restore(metadata.id);
    expect(await used()).to.deep.equal(full);
  });

  it('leaves requests of both directions in the audit trail and the timeline', async () => {
    const { metadata } = await server.running('traced');
    await discard(metadata.id);
    await restore(metadata.id);
    const actions = async (url: string) =>
      (await server.admin.get<{ action?: string }[]>(url)).body.map(({ action }) => action);
    const trail = `/api/v2/admin/events?resourceID=${metadata.id}`;
    await eventually(async () => (await actions(trail)).includes('instance.restore'));
    expect(await actions(trail)).to.include.members([
      'instance.create',
      'instance.trash',
      'instance.restore',
    ]);
    expect(await actions(`${path}/${metadata.id}/timeline`)).to.include.members([
      'instance.trash',
      'instance.restore',
    ]);
  });
});

describe('the protection of an instance from deletion', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('refuses every delete until it is taken off', async () => {
    const { metadata, spec } = await server.running('guarded', { spec: { deletionProtection: true } });
    expect(spec.deletionProtection).to.equal(true);
    const address = `${path}/${metadata.id}`;
    for (const query of ['', '?purge=true', '?dryRun=true'])
      await server.admin.refused('deletion_protected', 'DELETE', `${address}${query}`);
    const off = { spec: { deletionProtection: false } };
    const changed = await server.admin.patch<Instance>(address, off);
    expect(changed.body.spec).not.to.have.property('deletionProtection');
    const on = await server.admin.patch<Instance>(address, { spec: { deletionProtection: true } });
    expect(on.body.spec.deletionProtection).to.equal(true);
    await server.admin.refused('deletion_protected', 'DELETE', address);
    const { flavorId, imageId } = spec;
    const put = { metadata: { name: 'guarded' }, spec: { flavorId, imageId } };
    expect((await server.admin.put<Instance>(address, put)).body.spec).not.to.have.property(
      'deletionProtection',
    );
    await server.deleteInstance(metadata.id);
  });

  it('is off, like the trash, unless somebody asks for it', async () => {
    const { metadata, spec } = await server.running('plain');
    expect(spec).not.to.have.property('deletionProtection');
    await server.deleteInstance(metadata.id);
    expect(server.cloud.servers()).to.deep.equal([]);
  });
});
