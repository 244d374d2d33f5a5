import { expect } from 'chai';
import type { Region } from '../../src/model/region.js';
import { addPerson, addProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('GET /api/v1/organizations/{organizationID}/regions', () => {
  let server: TestServer;

  const path = (organization: string) => `/api/v1/organizations/${organization}/regions`;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('lists the regions that are served, with what they can do', async () => {
    const { body } = await server.admin.get<Region[]>(path(server.catalog.organizationId));
    expect(body).to.deep.equal([
      {
        metadata: {
          id: server.catalog.regionId,
          name: 'simulated',
          creationTime: body[0]?.metadata.creationTime,
          provisioningStatus: 'provisioned',
          healthStatus: 'healthy',
        },
        spec: {
          type: 'simulated',
          features: { physicalNetworks: false, consoleOutput: true, softReboot: true },
        },
      },
    ]);
  });

  it('is open to a member of a project of the organization, and to nobody else', async () => {
    const member = await addPerson(server.app, 'r-member');
    const project = await addProject(server.app, { name: 'regional', members: [member] });
    expect((await member.api.get<Region[]>(path(project.organizationId))).body).to.have.length(1);
    const hidden = await member.api.refused('not_found', 'GET', path(server.catalog.organizationId));
    const absent = await member.api.refused('not_found', 'GET', path('0193a5c0-0000-7000-8000-000000000001'));
    expect({ ...hidden.body, requestId: '' }).to.deep.equal({ ...absent.body, requestId: '' });
  });

  it('has none for an absent organization, of which only a superuser may ask', async () => {
    const absent = path('0193a5c0-0000-7000-8000-000000000001');
    expect((await server.admin.get<Region[]>(absent)).body).to.deep.equal([]);
    await server.admin.refused('not_found', 'GET', `${absent}/${server.catalog.regionId}/flavors`);
  });
});
