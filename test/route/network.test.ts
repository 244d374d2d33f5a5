import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import type { Network } from '../../src/model/network.js';
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

  it('shows a member the networks of his projects, which are the only ones that he can use', async () => {
    const member = await addPerson(server.app, 'n-member');
    const project = await addProject(server.app, { name: 'netted', members: [member] });
    const { body } = await member.api.get<Network[]>('/api/v2/networks');
    expect(body.map((network) => network.metadata.id)).to.deep.equal(project.networkIds);
    const [networkId] = project.networkIds;
    const mine = await member.api.post<Instance>(
      '/api/v2/instances',
      server.wish('on-mine', { spec: { networkId, regionId: undefined } }),
    );
    expect(mine.status, mine.text).to.equal(201);
    expect(mine.body.status).to.include({ networkId, regionId: server.catalog.regionId });
    const theirs = server.wish('on-theirs', {
      spec: { networkId: server.catalog.networkId, regionId: undefined },
    });
    await member.api.refused('not_found', 'POST', '/api/v2/instances', { body: theirs });
  });

  it('shows a stranger none', async () => {
    const stranger = await addPerson(server.app, 'n-stranger');
    expect((await stranger.api.get<Network[]>('/api/v2/networks')).body).to.deep.equal([]);
  });
});
