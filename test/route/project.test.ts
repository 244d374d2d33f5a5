import { expect } from 'chai';
import type { Project } from '../../src/model/project.js';
import { addPerson, addProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('GET /api/v2/projects', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('shows the project that the first run made, with its first admin', async () => {
    const { body } = await server.admin.get<Project[]>('/api/v2/projects');
    const [project] = body;
    expect(project?.metadata).to.deep.equal({
      id: server.catalog.projectId,
      name: 'default',
      creationTime: project?.metadata.creationTime,
      createdBy: 'system',
      provisioningStatus: 'provisioned',
      healthStatus: 'healthy',
      organizationId: server.catalog.organizationId,
    });
    expect(project?.spec.enabled).to.be.true;
    expect(project?.spec.admins).to.have.length(1);
  });

  it('shows members and admins their projects, strangers none, and superusers all', async () => {
    const admin = await addPerson(server.app, 'p-admin');
    const member = await addPerson(server.app, 'p-member');
    const stranger = await addPerson(server.app, 'p-stranger');
    const red = await addProject(server.app, { name: 'red', admins: [admin], members: [member] });
    const dark = await addProject(server.app, { name: 'dark', members: [member], enabled: false });
    const seen = async (who: typeof admin) =>
      (await who.api.get<Project[]>('/api/v2/projects')).body.map((project) => project.metadata.id);
    expect(await seen(admin)).to.deep.equal([red.id]);
    expect(await seen(member)).to.deep.equal([red.id, dark.id]);
    expect(await seen(stranger)).to.deep.equal([]);
    const all = (await server.admin.get<Project[]>('/api/v2/projects')).body;
    expect(all.map((project) => project.metadata.id)).to.deep.equal([
      server.catalog.projectId,
      red.id,
      dark.id,
    ]);
    expect(all.at(-1)?.spec).to.deep.equal({ enabled: false, admins: [], members: [member.id] });
  });
});
