/** POST /api/v2/admin/revert of what the audit trail has of people, organizations, projects, members and labels. */
import { expect } from 'chai';
import { verifyAudit } from '../../src/data/audit-check.js';
import type { AuditEvent } from '../../src/model/audit.js';
import type { Label } from '../../src/model/label.js';
import type { Member } from '../../src/model/member.js';
import type { Organization } from '../../src/model/organization.js';
import type { Project } from '../../src/model/project.js';
import type { User } from '../../src/model/user.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const revertPath = '/api/v2/admin/revert';

describe('undoing changes of people and projects', () => {
  let server: TestServer;
  let boss: Person;
  let rita: Person;
  let project: SeededProject;

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
    boss = await addPerson(server.app, 'boss');
    rita = await addPerson(server.app, 'rita');
    project = await addProject(server.app, { name: 'undone', admins: [boss] });
  });
  after(async () => {
    expect((await verifyAudit(server.app.store)).faults).to.deep.equal([]);
    await server.stop();
  });

  async function last(): Promise<AuditEvent> {
    const { body } = await server.admin.get<AuditEvent[]>('/api/v2/admin/events?descending=true&limit=1');
    if (body[0] === undefined) throw new Error('no record');
    return body[0];
  }
  const undo = (id: string) => server.admin.post<AuditEvent>(revertPath, { id });

  it('restores a project, but not what others have changed since', async () => {
    const path = `/api/v2/projects/${project.id}`;
    await boss.api.patch(path, { metadata: { description: 'Old' } });
    await boss.api.patch(path, {
      metadata: { name: 'renamed', description: 'New' },
      spec: { enabled: false },
    });
    const change = await last();
    // Members are changed by other records.
    await boss.api.post(`${path}/members`, { userId: rita.id, role: 'reader' });
    const undone = await undo(change.id);
    expect(undone.status, undone.text).to.equal(200);
    expect(undone.body).to.deep.include({ action: 'project.revert', reverts: change.id });
    const { body } = await boss.api.get<Project>(path);
    expect(body.metadata).to.include({ name: 'undone', description: 'Old', modifiedBy: 'admin' });
    expect(body.spec).to.deep.include({ enabled: true, readers: [rita.id] });
    await server.admin.refused('changed_since', 'POST', revertPath, { body: { id: change.id } });
    // The undoing can itself be undone.
    expect((await undo(undone.body.id)).status).to.equal(200);
    expect((await boss.api.get<Project>(path)).body.metadata).to.include({ name: 'renamed' });
    await undo((await last()).id);

    await boss.api.patch(path, { metadata: { name: 'moved-on' } });
    const renaming = await last();
    await addProject(server.app, { name: 'undone', organizationId: project.organizationId });
    await server.admin.refused('name_taken', 'POST', revertPath, { body: { id: renaming.id } });
    await boss.api.patch(path, { metadata: { description: null } });
    expect((await boss.api.get<Project>(path)).body.metadata.name).to.equal('moved-on');
  });

  it('restores members: who was added goes, who was removed comes back, each role is as before', async () => {
    const path = `/api/v2/projects/${project.id}/members`;
    const roles = async () =>
      Object.fromEntries((await boss.api.get<Member[]>(path)).body.map(({ userId, role }) => [userId, role]));
    const sam = await addPerson(server.app, 'sam');
    await boss.api.post(path, { userId: sam.id, role: 'operator' });
    const added = await last();
    await boss.api.put(`${path}/${sam.id}`, { role: 'admin' });
    const promoted = await last();
    await server.admin.refused('changed_since', 'POST', revertPath, { body: { id: added.id } });
    expect((await undo(promoted.id)).body.action).to.equal('member.revert');
    expect((await roles())[sam.id]).to.equal('operator');
    await boss.api.delete(`${path}/${sam.id}`);
    const removal = await last();
    expect((await undo(removal.id)).status).to.equal(200);
    expect((await roles())[sam.id]).to.equal('operator');
    expect((await undo(added.id)).status).to.equal(200);
    expect((await roles())[sam.id]).to.be.undefined;
  });

  it('does not take the last admin away', async () => {
    const empty = await addProject(server.app, { name: 'lonely' });
    await server.admin.post(`/api/v2/projects/${empty.id}/members`, { userId: rita.id, role: 'admin' });
    await server.admin.refused('in_use', 'POST', revertPath, { body: { id: (await last()).id } });
  });

  it('restores users and organizations, with their rules', async () => {
    const user = `/api/v2/users/${rita.id}`;
    await server.admin.patch(user, { metadata: { description: 'On leave' }, spec: { active: false } });
    await rita.api.refused('unauthorized', 'GET', '/api/v2/user');
    expect((await undo((await last()).id)).status).to.equal(200);
    const { body } = await rita.api.get<User>(user);
    expect(body.spec.active).to.equal(true);
    expect(body.metadata).not.to.have.property('description');

    const organization = `/api/v2/organizations/${project.organizationId}`;
    const before = (await server.admin.get<Organization>(organization)).body.metadata.name;
    await server.admin.patch(organization, { metadata: { name: 'new-name' } });
    await boss.api.refused('not_found', 'PATCH', organization, { body: {} });
    await undo((await last()).id);
    expect((await server.admin.get<Organization>(organization)).body.metadata.name).to.equal(before);
  });

  it('says of everything else why it is not undone, and what to do instead', async () => {
    const refused = async (includes: string) => {
      const { body } = await server.admin.refused('not_revertible', 'POST', revertPath, {
        body: { id: (await last()).id },
      });
      expect(body.message).to.include(includes);
    };
    const made = await server.admin.post<User>('/api/v2/users', { metadata: { name: 'una' } });
    await refused('deactivate the user');
    await server.admin.post(`/api/v2/users/${made.body.metadata.id}/apikeys`, { metadata: { name: 'k' } });
    await refused('secrets');
    await server.admin.post('/api/v2/organizations', { metadata: { name: 'orga' } });
    await refused('Organizations are never removed');
    const spec = { organizationId: project.organizationId };
    await server.admin.post('/api/v2/projects', { metadata: { name: 'brief' }, spec });
    await refused('networks');
    const instance = await server.running('audited');
    await server.admin.patch(`/api/v2/instances/${instance.metadata.id}`, { metadata: { description: 'x' } });
    await refused('change, start, stop or delete');
  });

  it('undoes what was done to labels: made, deleted, put on, taken off', async () => {
    const path = '/api/v2/labels';
    const label = {
      metadata: { name: 'red' },
      spec: { projectId: project.id, properties: { color: 'red' } },
    };
    const { body: made } = await boss.api.post<Label>(path, label);
    const creation = await last();
    const one = `${path}/${made.metadata.id}`;
    const uses = `/api/v2/projects/${project.id}/labels`;
    const used = async () => (await boss.api.get<Label[]>(uses)).body.map(({ metadata }) => metadata.name);

    await boss.api.post(uses, { labelID: made.metadata.id });
    const attachment = await last();
    expect((await undo(attachment.id)).body).to.include({ action: 'label.detach', reverts: attachment.id });
    expect(await used()).to.deep.equal([]);
    await server.admin.refused('changed_since', 'POST', revertPath, { body: { id: attachment.id } });
    const detachment = await last();
    expect((await undo(detachment.id)).body).to.include({ action: 'label.attach', reverts: detachment.id });
    expect(await used()).to.deep.equal(['red']);

    await boss.api.delete(one);
    const deletion = await last();
    expect((await undo(deletion.id)).body).to.include({ action: 'label.revert', reverts: deletion.id });
    expect((await boss.api.get<Label>(one)).body.spec).to.deep.equal(made.spec);
    // On nothing: whatever had it may be in use otherwise by now.
    expect(await used()).to.deep.equal([]);
    await server.admin.refused('changed_since', 'POST', revertPath, { body: { id: deletion.id } });

    await boss.api.delete(one);
    const again = await last();
    await boss.api.post(path, label);
    await server.admin.refused('name_taken', 'POST', revertPath, { body: { id: again.id } });
    const second = await last();
    expect((await undo(second.id)).body).to.include({ action: 'label.revert', reverts: second.id });
    expect((await undo(again.id)).status).to.equal(200);
    await boss.api.patch(one, { metadata: { description: 'changed' } });
    await server.admin.refused('changed_since', 'POST', revertPath, { body: { id: creation.id } });
  });

  it('does not restore what the trail has only redacted', async () => {
    const label = {
      metadata: { name: 'vault' },
      spec: { projectId: project.id, properties: { token: 'one' } },
    };
    const { body } = await boss.api.post<Label>('/api/v2/labels', label);
    await boss.api.patch(`/api/v2/labels/${body.metadata.id}`, { spec: { properties: { token: 'two' } } });
    const change = await last();
    expect(JSON.stringify(change)).not.to.include('two');
    const refusal = await server.admin.refused('unprocessable', 'POST', revertPath, {
      body: { id: change.id },
    });
    expect(refusal.body.message).to.include('redacted');
  });
});
