/** Changes of instances that need no task, and what users do to tasks, in the audit trail, over HTTP. */
import { expect } from 'chai';
import { verifyAudit } from '../../src/data/audit-check.js';
import type { AuditEvent } from '../../src/model/audit.js';
import type { Instance } from '../../src/model/instance.js';
import { addPerson, addProject, type Person } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('the audit trail of work', () => {
  let server: TestServer;
  let olga: Person;
  let projectId: string;

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
    olga = await addPerson(server.app, 'olga');
    projectId = (await addProject(server.app, { name: 'worked', members: [olga] })).id;
  });
  after(async () => {
    expect((await verifyAudit(server.app.store)).faults).to.deep.equal([]);
    await server.stop();
  });

  async function recordsOf(id: string, actions: RegExp): Promise<AuditEvent[]> {
    const { body } = await server.admin.get<AuditEvent[]>(`/api/v2/admin/events?resourceID=${id}&limit=100`);
    return body.filter(({ action }) => actions.test(action));
  }

  it('has each change of an instance that needs no task, before and after, without its user data', async () => {
    const { metadata, spec } = await server.running('changed', { spec: { projectId } }, olga.api);
    const path = `/api/v2/instances/${metadata.id}`;
    const userData = Buffer.from('#!/bin/sh\necho secret\n').toString('base64');
    await olga.api.patch(path, { metadata: { description: 'First' } });
    await olga.api.patch(path, { metadata: { description: 'First' } });
    const put = await olga.api.put<Instance>(path, {
      metadata: { name: 'changed', tags: [{ name: 'team', value: 'red' }] },
      spec: { flavorId: spec.flavorId, imageId: spec.imageId, userData },
    });
    expect(put.status, put.text).to.equal(202);
    await olga.api.refused('unprocessable', 'PATCH', path, { body: { metadata: { name: 'other' } } });
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    expect((await olga.api.post(`${path}/extend_expiration`, { expiresAt })).status).to.be.below(300);

    const records = await recordsOf(metadata.id, /^instance\.(update|extend)$/);
    expect(records.map(({ action, user }) => [action, user.name])).to.deep.equal([
      ['instance.update', 'olga'],
      ['instance.update', 'olga'],
      ['instance.extend', 'olga'],
    ]);
    const [first, second, third] = records;
    expect(first?.before).to.deep.equal({ name: 'changed', projectId });
    expect(first?.after).to.deep.equal({ name: 'changed', projectId, description: 'First' });
    expect(second?.after).to.deep.equal({
      name: 'changed',
      projectId,
      tags: [{ name: 'team', value: 'red' }],
      userData: '[redacted]',
    });
    expect(second?.requestId).to.equal(put.headers.get('x-request-id'));
    expect(third?.after).to.deep.include({ expiresAt });
    expect(JSON.stringify(records)).not.to.include(userData);
  });

  it('has who changed, aborted and restarted a task', async () => {
    await server.admin.patch('/api/v2/admin/service_flags', { 'instance.create': false });
    const { status, metadata } = await server.createInstance('waiting', { spec: { projectId } }, olga.api);
    const id = status.taskId ?? '';
    const path = `/api/v2/tasks/${id}`;
    expect((await olga.api.patch(path, { priority: 40 })).status).to.equal(200);
    expect((await olga.api.patch(path, { priority: 40 })).status).to.equal(200);
    expect((await olga.api.post(`${path}/abort`)).status).to.be.below(300);
    expect((await olga.api.post(`${path}/abort`)).status).to.be.below(300);
    await olga.api.refused('task_state_conflict', 'PATCH', path, { body: { priority: 41 } });
    const restarted = await server.admin.post(`${path}/restart`);
    expect(restarted.status, restarted.text).to.be.below(300);
    await server.admin.patch('/api/v2/admin/service_flags', { 'instance.create': true });
    await server.settled(metadata.id);

    const records = await recordsOf(id, /^task\./);
    const known = { type: 'instance.create', projectId, subject: metadata.id };
    expect(
      records.map(({ action, user, before, after }) => [action, user.name, before, after]),
    ).to.deep.equal([
      [
        'task.update',
        'olga',
        { ...known, activated: true, priority: 0 },
        { ...known, activated: true, priority: 40 },
      ],
      ['task.abort', 'olga', { ...known, status: 'pending' }, { ...known, status: 'cancelled' }],
      ['task.restart', 'admin', { ...known, status: 'cancelled' }, { ...known, status: 'pending' }],
    ]);
    expect(records[0]?.resource).to.deep.equal({ type: 'task', id });
  });
});
