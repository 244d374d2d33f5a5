/** Members of organizations: who is in one sees it, its admins run it, and its projects remain their own. */
import { expect } from 'chai';
import type { NewApiKey } from '../../src/model/api-key.js';
import type { AuditEvent } from '../../src/model/audit.js';
import type { Label } from '../../src/model/label.js';
import type { Member } from '../../src/model/member.js';
import type { Organization } from '../../src/model/organization.js';
import { Api } from '../support/conform.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('the members of an organization', () => {
  let server: TestServer;
  let project: SeededProject;
  let path: string;
  const people = {} as Record<'oscar' | 'rita' | 'stranger', Person>;

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
    for (const name of ['oscar', 'rita', 'stranger'] as const)
      people[name] = await addPerson(server.app, name);
    project = await addProject(server.app, { name: 'inside' });
    path = `/api/v2/organizations/${project.organizationId}`;
  });
  after(() => server.stop());

  const members = async (api: Api, query = '') => (await api.get<Member[]>(`${path}/members${query}`)).body;

  it('are added by superusers and its admins, see it and each other, and see nothing of its projects', async () => {
    const { oscar, rita, stranger } = people;
    await oscar.api.refused('not_found', 'GET', path);
    const first = await server.admin.post<Member>(`${path}/members`, { userId: oscar.id, role: 'admin' });
    expect(first.status, first.text).to.equal(201);
    expect(first.headers.get('location')).to.equal(`${server.url}${path}/members/${oscar.id}`);
    expect((await oscar.api.post(`${path}/members`, { userId: rita.id, role: 'reader' })).status).to.equal(
      201,
    );
    await oscar.api.refused('already_exists', 'POST', `${path}/members`, {
      body: { userId: rita.id, role: 'admin' },
    });

    const all = [
      { userId: oscar.id, role: 'admin' },
      { userId: rita.id, role: 'reader' },
    ];
    expect(await members(rita.api)).to.deep.equal(all);
    expect(await members(rita.api, '?role=reader')).to.deep.equal(all.slice(1));
    expect((await rita.api.get<Member[]>(`${path}/owners`)).body).to.deep.equal(all.slice(0, 1));
    expect((await rita.api.get<Organization>(path)).status).to.equal(200);
    for (const who of [oscar, rita]) {
      await who.api.refused('not_found', 'GET', `/api/v2/projects/${project.id}`);
      expect((await who.api.get<unknown[]>('/api/v2/projects')).body).to.deep.equal([]);
      await who.api.refused('not_found', 'GET', '/api/v2/organizations');
    }
    const change = { metadata: { description: 'Run by Oscar' } };
    await rita.api.refused('forbidden', 'PATCH', path, { body: change });
    await rita.api.refused('forbidden', 'POST', `${path}/members`, {
      body: { userId: stranger.id, role: 'reader' },
    });
    for (const [method, at] of [
      ['GET', path],
      ['PATCH', path],
      ['GET', `${path}/members`],
      ['GET', `${path}/labels`],
    ] as const)
      await stranger.api.refused('not_found', method, at, method === 'GET' ? {} : { body: change });
    expect((await oscar.api.patch<Organization>(path, change)).body.metadata.description).to.equal(
      'Run by Oscar',
    );
  });

  it('see its labels, which its admins put on it', async () => {
    const { oscar, rita } = people;
    const spec = { organizationId: project.organizationId };
    const { body } = await server.admin.post<Label>('/api/v2/labels', { metadata: { name: 'wide' }, spec });
    expect((await rita.api.get<Label[]>('/api/v2/labels')).body).to.deep.equal([body]);
    await rita.api.refused('forbidden', 'POST', `${path}/labels`, { body: { labelID: body.metadata.id } });
    const put = await oscar.api.post(`${path}/labels`, { labelID: body.metadata.id });
    expect(put.status, put.text).to.equal(201);
    expect((await rita.api.get<Organization>(path)).body.metadata.labels).to.deep.equal([body.metadata.id]);
  });

  it('change roles, become owners, and leave, but never without the last admin', async () => {
    const { oscar, rita } = people;
    await oscar.api.refused('in_use', 'DELETE', `${path}/members/${oscar.id}`);
    await oscar.api.refused('in_use', 'PUT', `${path}/members/${oscar.id}`, { body: { role: 'reader' } });
    const owner = await oscar.api.post<Member>(`${path}/owners`, { userId: rita.id });
    expect(owner.body).to.deep.equal({ userId: rita.id, role: 'admin' });
    expect(
      (await rita.api.put<Member>(`${path}/members/${oscar.id}`, { role: 'operator' })).body,
    ).to.deep.equal({
      userId: oscar.id,
      role: 'operator',
    });
    await rita.api.refused('not_found', 'DELETE', `${path}/owners/${oscar.id}`);
    expect((await rita.api.delete(`${path}/members/${oscar.id}`)).status).to.equal(204);
    await oscar.api.refused('not_found', 'GET', path);
  });

  it('are in the audit trail, from which a change can be undone', async () => {
    const { oscar } = people;
    const { body } = await server.admin.get<AuditEvent[]>(
      '/api/v2/admin/events?type=organization_member&descending=true',
    );
    expect(body.map(({ action }) => action).reverse()).to.deep.equal([
      ...['organization_member.add', 'organization_member.add', 'organization_member.update'],
      ...['organization_member.update', 'organization_member.remove'],
    ]);
    const removal = body[0];
    expect(removal?.before).to.deep.equal({ userId: oscar.id, role: 'operator' });
    const undone = await server.admin.post<AuditEvent>('/api/v2/admin/revert', { id: removal?.id });
    expect(undone.status, undone.text).to.equal(200);
    expect((await oscar.api.get(path)).status).to.equal(200);
  });

  it('have no such power with a limited key', async () => {
    const { rita } = people;
    const { body } = await rita.api.post<NewApiKey>(`/api/v2/users/${rita.id}/apikeys`, {
      metadata: { name: 'limited' },
      spec: { role: 'admin' },
    });
    const limited = Api.withKey(server.url, body.key);
    for (const at of [path, `${path}/members`, `${path}/labels`])
      await limited.refused('not_found', 'GET', at);
    expect((await limited.get<Label[]>('/api/v2/labels')).body).to.deep.equal([]);
  });
});
