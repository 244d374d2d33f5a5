/** Changes of people, projects and the task queue in the audit trail, over HTTP. */
import { expect } from 'chai';
import { verifyAudit } from '../../src/data/audit-check.js';
import type { NewApiKey } from '../../src/model/api-key.js';
import type { AuditEvent } from '../../src/model/audit.js';
import type { Organization } from '../../src/model/organization.js';
import type { Project } from '../../src/model/project.js';
import type { User } from '../../src/model/user.js';
import { addPerson } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('the audit trail of people', () => {
  let server: TestServer;
  let seen = 0;

  before(async () => {
    server = await startServer();
  });
  after(async () => {
    expect((await verifyAudit(server.app.store)).faults).to.deep.equal([]);
    await server.stop();
  });

  /** The records since the last call. */
  async function news(): Promise<AuditEvent[]> {
    const reply = await server.admin.get<AuditEvent[]>('/api/v2/admin/events?limit=200');
    const fresh = reply.body.slice(seen);
    seen = reply.body.length;
    return fresh;
  }
  const actions = (events: AuditEvent[]) => events.map(({ action, user }) => `${user.name} ${action}`);

  async function created<T>(path: string, body: object): Promise<T> {
    const reply = await server.admin.post<T>(path, body);
    expect(reply.status, reply.text).to.equal(201);
    return reply.body;
  }

  it('has users and their keys, without any secret', async () => {
    const { metadata: user } = await created<User>('/api/v2/users', { metadata: { name: 'vera' } });
    const keys = `/api/v2/users/${user.id}/apikeys`;
    const { key, metadata } = await created<NewApiKey>(keys, { metadata: { name: 'ci' } });
    await server.admin.patch(`/api/v2/users/${user.id}`, { metadata: { description: 'Tester' } });
    await server.admin.patch(`/api/v2/users/${user.id}`, { metadata: { description: 'Tester' } });
    await server.admin.delete(`${keys}/${metadata.id}`);
    const records = await news();
    expect(actions(records)).to.deep.equal([
      'admin user.create',
      'admin apikey.create',
      'admin user.update',
      'admin apikey.delete',
    ]);
    const [made, keyed, updated, revoked] = records;
    expect(made).to.deep.include({ resource: { type: 'user', id: user.id }, before: null });
    expect(updated?.before).not.to.have.property('description');
    expect(updated?.after).to.include({ name: 'vera', description: 'Tester' });
    expect(keyed?.resource).to.deep.equal({ type: 'apikey', id: metadata.id });
    expect(keyed?.after).to.include({ userId: user.id, name: 'ci', hash: '[redacted]' });
    expect(revoked?.after).to.equal(null);
    const text = JSON.stringify(records);
    expect(text).not.to.include(key);
    expect(text).not.to.include(server.app.connector.users.hash(key));
  });

  it('has organizations, projects and members', async () => {
    const { metadata: organization } = await created<Organization>('/api/v2/organizations', {
      metadata: { name: 'orchard' },
    });
    const { metadata: project } = await created<Project>('/api/v2/projects', {
      metadata: { name: 'apples' },
      spec: { organizationId: organization.id },
    });
    const boss = await addPerson(server.app, 'boss');
    const path = `/api/v2/projects/${project.id}`;
    await created(`${path}/members`, { userId: boss.id, role: 'admin' });
    const rita = await addPerson(server.app, 'rita');
    const member = `${path}/members/${rita.id}`;
    expect((await boss.api.post(`${path}/members`, { userId: rita.id, role: 'reader' })).status).to.equal(
      201,
    );
    await boss.api.put(member, { role: 'operator' });
    await boss.api.delete(member);
    await boss.api.patch(path, { spec: { enabled: false } });
    // What is refused changes nothing, and is not recorded.
    await boss.api.refused('not_found', 'DELETE', member);
    await boss.api.delete(path);
    const records = await news();
    expect(actions(records)).to.deep.equal([
      'admin organization.create',
      'admin project.create',
      'admin member.add',
      'boss member.add',
      'boss member.update',
      'boss member.remove',
      'boss project.update',
      'boss project.delete',
    ]);
    expect(records[4]).to.deep.include({
      resource: { type: 'member', id: project.id },
      before: { userId: rita.id, role: 'reader' },
      after: { userId: rita.id, role: 'operator' },
    });
    expect(records[5]?.after).to.equal(null);
    expect(records[6]?.before).to.include({ enabled: true });
    expect(records[6]?.after).to.include({ enabled: false });
    expect(records[7]?.before).to.include({ name: 'apples' });
  });

  it('has SSH keys of users', async () => {
    const sam = await addPerson(server.app, 'sam');
    const key = `ssh-ed25519 ${Buffer.concat([
      Buffer.from([0, 0, 0, 11]),
      Buffer.from('ssh-ed25519'),
      Buffer.from([0, 0, 0, 32]),
      Buffer.alloc(32, 7),
    ]).toString('base64')} sam@laptop`;
    expect((await sam.api.post('/api/v2/keys', { name: 'laptop', key })).status).to.equal(201);
    expect((await sam.api.delete('/api/v2/keys/laptop')).status).to.equal(204);
    const records = await news();
    expect(actions(records)).to.deep.equal(['sam sshkey.create', 'sam sshkey.delete']);
    expect(records[0]?.after).to.include({ userId: sam.id, name: 'laptop' });
  });

  it('has what superusers ask of many tasks at once, but no dry run', async () => {
    const window = { start: '2026-01-01T00:00:00Z', end: '2026-01-02T00:00:00Z' };
    expect((await server.admin.delete('/api/v2/admin/task_queue?type=instance.stop')).status).to.equal(200);
    await server.admin.post('/api/v2/admin/restart', { ...window, dryRun: true });
    await server.admin.post('/api/v2/admin/restart', window);
    const records = await news();
    expect(actions(records)).to.deep.equal(['admin task_queue.clear', 'admin task_queue.restart']);
    expect(records[0]?.after).to.deep.equal({ types: ['instance.stop'] });
    expect(records[1]?.after).to.deep.equal(window);
  });

  it('records changes that are made at the same time in one chain', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `crowd-${index}`);
    await Promise.all(names.map((name) => created<User>('/api/v2/users', { metadata: { name } })));
    await server.admin.refused('name_taken', 'POST', '/api/v2/users', {
      body: { metadata: { name: 'crowd-1' } },
    });
    const records = await news();
    expect(actions(records)).to.deep.equal(names.map(() => 'admin user.create'));
    expect(records.map(({ sequence }) => sequence)).to.deep.equal(
      records.map((_, index) => (records[0]?.sequence ?? 0) + index),
    );
  });
});
