import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import { eventually } from '../support/eventually.js';
import { startServer, type TestServer } from '../support/server.js';

const address = (instance: Instance) => `/api/v2/instances/${instance.metadata.id}`;

describe('DELETE /api/v2/instances/{instanceID}', () => {
  let server: TestServer;

  before(async () => {
    // A retry that waits for a minute: what must not wait for it shows.
    server = await startServer({ flags: { tasks: { backoff: 60, backoffMax: 60 } } });
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  it('answers 202 without a body and with the task to follow; the instance, then its machine, then the record go', async () => {
    const instance = await server.running('leaver');
    server.cloud.program({ verb: 'deleteServer', delay: 300, times: 1 });
    const reply = await server.admin.delete(address(instance));
    expect(reply.status).to.equal(202);
    expect(reply.text).to.equal('');
    expect(reply.headers.get('content-length')).to.equal('0');
    expect(reply.headers.get('retry-after')).to.match(/^\d+$/);
    const { body } = await server.admin.get<Instance>(address(instance));
    expect(body.metadata.provisioningStatus).to.equal('deprovisioning');
    expect(Date.parse(body.metadata.deletionTime ?? '')).to.be.at.least(
      Date.parse(instance.metadata.creationTime),
    );
    expect(`${server.url}/api/v2/tasks/${body.status.taskId ?? ''}`).to.equal(reply.headers.get('location'));

    const task = await server.ended(reply.headers.get('location'));
    expect(task).to.include({ type: 'instance.delete', status: 'succeeded' });
    await server.admin.refused('not_found', 'GET', address(instance));
    await server.admin.refused('not_found', 'DELETE', address(instance));
    expect((await server.admin.get(`/api/v2/instances`)).text).not.to.include(instance.metadata.id);
    expect(server.cloud.servers().map((one) => one.id)).not.to.include(instance.metadata.id);
  });

  it('repeated while it is under way shares the one task', async () => {
    const instance = await server.running('repeated');
    server.cloud.program({ verb: 'deleteServer', delay: 2000, times: 1 });
    const replies = await Promise.all(
      Array.from({ length: 10 }, () => server.admin.delete(address(instance))),
    );
    expect(new Set(replies.map((reply) => reply.status))).to.deep.equal(new Set([202]));
    expect(new Set(replies.map((reply) => reply.headers.get('location'))).size).to.equal(1);
    await server.ended(replies[0]?.headers.get('location'));
    expect(
      server.cloud.history(instance.metadata.id).filter((one) => one.verb === 'deleteServer'),
    ).to.have.length(1);
  });

  it('frees the name only when it is done, and a new instance of that name has another id', async () => {
    const instance = await server.running('reused');
    server.cloud.program({ verb: 'deleteServer', delay: 300, times: 1 });
    const reply = await server.admin.delete(address(instance));
    await server.admin.refused('name_taken', 'POST', '/api/v2/instances', {
      body: server.instanceBody('reused'),
    });
    await server.ended(reply.headers.get('location'));
    const second = await server.running('reused');
    expect(second.metadata.id).not.to.equal(instance.metadata.id);
  });

  it('aborts a create that is under way, and leaves no machine', async () => {
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const instance = await server.createInstance('aborted');
    await eventually(async () => (await server.task(instance.status.taskId)).status === 'running');
    const reply = await server.admin.delete(address(instance));
    const create = await server.ended(instance.status.taskId);
    expect(create).to.include({ status: 'cancelled' });
    expect(create.cause).to.include({ code: 'superseded', retryable: false });
    expect(create.attempts.at(-1)?.outcome).to.equal('cancelled');
    expect(await server.ended(reply.headers.get('location'))).to.include({ status: 'succeeded' });
    expect(server.cloud.servers().map((one) => one.id)).not.to.include(instance.metadata.id);
  });

  it('aborts a create that waits for its retry, without waiting with it', async () => {
    server.cloud.program({ verb: 'ensureServer', error: 'transient', times: 1 });
    const instance = await server.createInstance('waiting');
    await eventually(async () => (await server.task(instance.status.taskId)).retryTime !== undefined);
    const reply = await server.admin.delete(address(instance));
    expect(await server.ended(reply.headers.get('location'))).to.include({ status: 'succeeded' });
    expect(await server.task(instance.status.taskId)).to.include({ status: 'cancelled' });
  });

  it('removes an instance whose create has failed', async () => {
    server.cloud.program({ verb: 'ensureServer', error: 'terminal', times: 1 });
    const instance = await server.createInstance('failed');
    await server.settled(instance.metadata.id, (one) => one.metadata.provisioningStatus === 'error');
    const reply = await server.admin.delete(address(instance));
    expect(await server.ended(reply.headers.get('location'))).to.include({ status: 'succeeded' });
    await server.admin.refused('not_found', 'GET', address(instance));
  });

  it('that fails for good says so on the instance, takes no other change, and can be repeated', async () => {
    const instance = await server.running('stubborn');
    server.cloud.program({ verb: 'deleteServer', error: 'terminal', times: 1 });
    const first = await server.admin.delete(address(instance));
    expect(await server.ended(first.headers.get('location'))).to.include({ status: 'failed' });
    const { metadata } = await server.settled(instance.metadata.id);
    expect(metadata.provisioningStatus).to.equal('error');
    expect(metadata.provisioningStatusDetail?.message).to.include('Delete the instance again');
    await server.admin.refused('being_deleted', 'POST', `${address(instance)}/stop`);
    const second = await server.admin.delete(address(instance));
    expect(second.headers.get('location')).not.to.equal(first.headers.get('location'));
    expect(await server.ended(second.headers.get('location'))).to.include({ status: 'succeeded' });
    await server.admin.refused('not_found', 'GET', address(instance));
  });
});
