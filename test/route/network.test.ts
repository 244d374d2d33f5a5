import { expect } from 'chai';
import { networks } from '../../src/data/network.js';
import { insert, remove } from '../../src/data/store/port.js';
import type { Instance } from '../../src/model/instance.js';
import type { Network } from '../../src/model/network.js';
import { absentId } from '../support/fuzz-seed.js';
import { addPerson, addProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('GET /api/v2/networks', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('shows the network `default` that the first run made in the region', async () => {
    const { body } = await server.admin.get<Network[]>('/api/v2/networks');
    expect(body).to.deep.equal([
      {
        metadata: {
          id: server.catalog.networkId,
          name: 'default',
          creationTime: body[0]?.metadata.creationTime,
          createdBy: 'system',
          provisioningStatus: 'provisioned',
          healthStatus: 'healthy',
          organizationId: server.catalog.organizationId,
          projectId: server.catalog.projectId,
        },
        status: { regionId: server.catalog.regionId },
      },
    ]);
  });

  it('shows a member the networks of their projects, which are the only usable ones', async () => {
    const member = await addPerson(server.app, 'n-member');
    const project = await addProject(server.app, { name: 'netted', members: [member] });
    const { body } = await member.api.get<Network[]>('/api/v2/networks');
    expect(body.map((network) => network.metadata.id)).to.deep.equal(project.networkIds);
    const [networkId] = project.networkIds;
    const mine = await member.api.post<Instance>(
      '/api/v2/instances',
      server.instanceBody('on-mine', { spec: { networkId, regionId: undefined } }),
    );
    expect(mine.status, mine.text).to.equal(201);
    expect(mine.body.status).to.include({ networkId, regionId: server.catalog.regionId });
    const theirs = server.instanceBody('on-theirs', {
      spec: { networkId: server.catalog.networkId, regionId: undefined },
    });
    const hidden = await member.api.refused('not_found', 'POST', '/api/v2/instances', { body: theirs });
    const absent = await member.api.refused('not_found', 'POST', '/api/v2/instances', {
      body: server.instanceBody('on-theirs', { spec: { networkId: absentId, regionId: undefined } }),
    });
    expect(hidden.body.errors?.[0]?.pointer).to.equal('/spec/networkId');
    expect({ ...hidden.body, requestId: '' }).to.deep.equal({ ...absent.body, requestId: '' });
  });

  it('stop being used with the very next create after they are gone, also without being named', async () => {
    const member = await addPerson(server.app, 'n-leaving');
    const { networkIds } = await addProject(server.app, { name: 'emptied', members: [member] });
    const [networkId = ''] = networkIds;
    const create = (name: string) =>
      member.api.post<Instance>('/api/v2/instances', server.instanceBody(name));
    expect((await create('first')).body.status.networkId).to.equal(networkId);
    const { store } = server.app;
    const network = await store.get(networks, networkId);
    if (network === undefined) throw new Error('the network is not stored');
    await store.write([remove(networks, network)]);
    await member.api.refused('not_found', 'POST', '/api/v2/instances', {
      body: server.instanceBody('second'),
    });
    await store.write([insert(networks, absentId, network.value)]);
    expect((await create('third')).body.status.networkId).to.equal(absentId);
  });

  it('shows a stranger none', async () => {
    const stranger = await addPerson(server.app, 'n-stranger');
    expect((await stranger.api.get<Network[]>('/api/v2/networks')).body).to.deep.equal([]);
  });
});
