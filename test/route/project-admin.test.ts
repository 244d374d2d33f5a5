/** How projects come, change and go. */
import { expect } from 'chai';
import type { Network } from '../../src/model/network.js';
import type { Project } from '../../src/model/project.js';
import { absentId } from '../support/fuzz-seed.js';
import { addPerson, addProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/projects';

describe('projects', () => {
  let server: TestServer;

  const bodyOf = (name: string) => ({
    metadata: { name },
    spec: { organizationId: server.catalog.organizationId },
  });

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('are created by superusers, enabled and empty, with a network in each region', async () => {
    const { status, body, headers } = await server.admin.post<Project>(path, bodyOf('made'));
    expect(status).to.equal(201);
    const { id } = body.metadata;
    expect(headers.get('location')).to.equal(`${server.url}${path}/${id}`);
    expect(body.metadata).to.include({
      name: 'made',
      createdBy: 'admin',
      organizationId: server.catalog.organizationId,
    });
    expect(body.spec).to.deep.equal({ enabled: true, admins: [], members: [] });
    expect((await server.admin.get<Project>(`${path}/${id}`)).body).to.deep.equal(body);
    const networks = (await server.admin.get<Network[]>('/api/v2/networks')).body;
    const own = networks.filter(({ metadata }) => metadata.projectId === id);
    expect(own.map(({ metadata, status: { regionId } }) => [metadata.name, regionId])).to.deep.equal([
      ['default', server.catalog.regionId],
    ]);
    await server.createInstance('in-made', { spec: { projectId: id } });
  });

  it('refuse an unknown organization, a name that it has, and what is not theirs to set', async () => {
    await server.admin.refused('name_taken', 'POST', path, { body: bodyOf('default') });
    const unknown = { metadata: { name: 'x' }, spec: { organizationId: absentId } };
    const reply = await server.admin.refused('not_found', 'POST', path, { body: unknown });
    expect(reply.body.errors?.[0]?.pointer).to.equal('/spec/organizationId');
    for (const body of [
      {},
      { metadata: { name: 'x' } },
      { ...bodyOf('x'), spec: { organizationId: server.catalog.organizationId, admins: [absentId] } },
      { metadata: { name: 'x', id: absentId }, spec: { organizationId: absentId } },
    ])
      await server.admin.refused('invalid_body', 'POST', path, { body });
  });

  it('are renamed, described and disabled by their admins', async () => {
    const admin = await addPerson(server.app, 'pa-admin');
    const member = await addPerson(server.app, 'pa-member');
    const project = await addProject(server.app, { name: 'changing', admins: [admin], members: [member] });
    const one = `${path}/${project.id}`;
    const patch = { metadata: { name: 'changed', description: 'New' }, spec: { enabled: false } };
    await member.api.refused('forbidden', 'PATCH', one, { body: patch });
    const { body } = await admin.api.patch<Project>(one, patch);
    expect(body.metadata).to.include({ name: 'changed', description: 'New', modifiedBy: 'pa-admin' });
    expect(body.spec.enabled).to.be.false;
    // Existing records without readers do not get any.
    expect(body.spec).not.to.have.property('readers');
    await member.api.refused('forbidden', 'POST', '/api/v2/instances', { body: server.instanceBody('late') });
    await admin.api.patch(one, { metadata: { description: null }, spec: { enabled: true } });
    expect((await admin.api.get<Project>(one)).body.metadata).not.to.have.property('description');
    await server.createInstance('on-time', {}, member.api);
    await admin.api.refused('invalid_body', 'PATCH', one, { body: { spec: { admins: [] } } });
    await admin.api.refused('precondition_failed', 'PATCH', one, {
      body: patch,
      headers: { 'If-Match': '"1"' },
    });
    await addProject(server.app, { name: 'neighbour', organizationId: project.organizationId });
    await admin.api.refused('name_taken', 'PATCH', one, { body: { metadata: { name: 'neighbour' } } });
  });

  it('are deleted with their networks, but not while they have instances', async () => {
    const admin = await addPerson(server.app, 'pd-admin');
    const project = await addProject(server.app, { name: 'going', admins: [admin] });
    const one = `${path}/${project.id}`;
    const { metadata } = await server.createInstance('last', {}, admin.api);
    const refusal = await admin.api.refused('in_use', 'DELETE', one);
    expect(refusal.body.message).to.include('an instance');
    await server.deleteInstance(metadata.id);
    expect((await admin.api.delete(one)).status).to.equal(204);
    await admin.api.refused('not_found', 'GET', one);
    await server.admin.refused('not_found', 'GET', one);
    await server.admin.refused('not_found', 'GET', `/api/v2/networks/${project.networkIds[0] ?? ''}`);
    await server.admin.refused('not_found', 'DELETE', one);
    // The name is free again.
    await addProject(server.app, { name: 'going', organizationId: project.organizationId });
  });
});
