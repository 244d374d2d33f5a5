import { expect } from 'chai';
import { eventually } from '../support/eventually.js';
import { startServer, type TestServer } from '../support/server.js';

describe('the restart of a replacement', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer({ flags: { tasks: { concurrency: 1 } } });
  });
  after(() => server.stop());

  it('that was cancelled before it began makes the machine that was asked for, once', async () => {
    const { metadata, spec } = await server.running('to-grow');
    server.cloud.program({ verb: 'ensureServer', delay: 60_000, times: 1 });
    const blocker = await server.order('in-the-way');
    await eventually(async () => (await server.task(blocker.status.taskId)).status === 'running');
    const small = server.catalog.flavors['small'];
    const body = { metadata: { name: metadata.name }, spec: { ...spec, flavorId: small } };
    const address = `/api/v2/instances/${metadata.id}?allowReplace=true`;
    const { headers } = await server.admin.put(address, body);
    const task = `/api/v2/tasks/${headers.get('location')?.split('/').at(-1) ?? ''}`;
    await server.admin.post(`${task}/abort`);
    expect((await server.settled(metadata.id)).spec.flavorId).to.equal(spec.flavorId);
    expect((await server.admin.post(`${task}/restart`)).status).to.equal(202);
    await server.gone(blocker.metadata.id);
    expect(await server.ended(task)).to.include({ status: 'succeeded' });
    expect((await server.settled(metadata.id)).spec.flavorId).to.equal(small);
    expect(server.cloud.servers().find(({ id }) => id === metadata.id)).to.include({ flavorId: small });
    await server.admin.refused('task_state_conflict', 'POST', `${task}/restart`);
  });
});
