/** A clean walk as the owner of a new site takes it, over HTTP only: people, a project, power, and who may not use it. */
import { expect } from 'chai';
import type { NewApiKey } from '../../src/model/api-key.js';
import type { AuditEvent } from '../../src/model/audit.js';
import type { Instance } from '../../src/model/instance.js';
import type { Organization } from '../../src/model/organization.js';
import type { Project } from '../../src/model/project.js';
import type { CurrentUser, User } from '../../src/model/user.js';
import { Api } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { startServer, type TestServer } from '../support/server.js';

describe('people and power, from nothing', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  async function created<T>(path: string, body: object): Promise<T> {
    const reply = await server.admin.post<T>(path, body);
    expect(reply.status, reply.text).to.equal(201);
    return reply.body;
  }

  /** A new user with a key, as a client. */
  async function user(name: string): Promise<{ id: string; api: Api }> {
    const { metadata } = await created<User>('/api/v2/users', { metadata: { name } });
    const { key } = await created<NewApiKey>(`/api/v2/users/${metadata.id}/apikeys`, {
      metadata: { name: 'first' },
    });
    return { id: metadata.id, api: Api.withKey(server.url, key) };
  }

  it('an operator makes an instance, which a reader sees and may not stop', async () => {
    const { metadata: organization } = await created<Organization>('/api/v2/organizations', {
      metadata: { name: 'orchard' },
    });
    const { metadata: project } = await created<Project>('/api/v2/projects', {
      metadata: { name: 'apples' },
      spec: { organizationId: organization.id },
    });
    const olga = await user('olga');
    const rita = await user('rita');
    const members = `/api/v2/projects/${project.id}/members`;
    await created(members, { userId: olga.id, role: 'operator' });
    await created(members, { userId: rita.id, role: 'reader' });

    expect((await olga.api.get<CurrentUser>('/api/v2/user')).body.metadata.name).to.equal('olga');
    const made = await server.running('pippin', {}, olga.api);
    const { id } = made.metadata;
    expect(made.metadata).to.include({
      projectId: project.id,
      organizationId: organization.id,
      createdBy: 'olga',
    });

    const path = `/api/v2/instances/${id}`;
    expect((await rita.api.get<Instance>(path)).body).to.deep.equal(made);
    expect((await rita.api.get<Instance[]>('/api/v2/instances')).body).to.deep.equal([made]);
    const refusal = await rita.api.refused('forbidden', 'POST', `${path}/stop`);
    expect(refusal.body.message).to.include('"operate"');
    await rita.api.refused('forbidden', 'DELETE', path);
    await rita.api.refused('forbidden', 'POST', '/api/v2/instances', { body: server.instanceBody('russet') });

    const stop = await olga.api.post(`${path}/stop`);
    expect(stop.status).to.equal(202);
    expect((await server.ended(stop.headers.get('location'), olga.api)).requester.user).to.equal('olga');
    expect((await rita.api.get<Instance>(path)).body.status.powerState).to.equal('Stopped');
    const ofOlga = await server.admin.get<Instance[]>(`/api/v2/users/${olga.id}/instances`);
    expect(ofOlga.body.map(({ metadata }) => metadata.id)).to.deep.equal([id]);

    // The audit shows who did what; what was refused is not there, for it changed nothing.
    const told = await eventually(async () => {
      const { body } = await server.admin.get<AuditEvent[]>('/api/v2/admin/events?limit=100');
      const acts = body.map(({ user: { name }, action, resource }) => ({ name, action, id: resource.id }));
      expect(acts.at(-1)?.action).to.equal('instance.stop');
      return acts;
    });
    expect(told.map(({ name, action }) => `${name}: ${action}`)).to.deep.equal([
      'admin: organization.create',
      'admin: project.create',
      'admin: user.create',
      'admin: apikey.create',
      'admin: user.create',
      'admin: apikey.create',
      'admin: member.add',
      'admin: member.add',
      'olga: instance.create',
      'olga: instance.stop',
    ]);
    expect(told.filter((act) => act.id === id).map(({ name }) => name)).to.deep.equal(['olga', 'olga']);
    await rita.api.refused('not_found', 'GET', '/api/v2/admin/events');

    // Who leaves has nothing left, and takes nothing along.
    expect(
      (await server.admin.patch(`/api/v2/users/${olga.id}`, { spec: { active: false } })).status,
    ).to.equal(200);
    await olga.api.refused('unauthorized', 'GET', path);
    expect((await rita.api.get(path)).status).to.equal(200);
    await server.admin.refused('in_use', 'DELETE', `/api/v2/projects/${project.id}`);
    await server.deleteInstance(id);
    expect((await server.admin.delete(`/api/v2/projects/${project.id}`)).status).to.equal(204);
    await rita.api.refused('not_found', 'GET', `/api/v2/projects/${project.id}`);
  });
});
