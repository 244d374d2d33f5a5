/** Labels: who makes, sees and changes them, and the sub-resource `labels` of each type of resources that has it. */
import { expect } from 'chai';
import { instances } from '../../src/data/instance.js';
import { labels } from '../../src/data/label.js';
import { replace } from '../../src/data/store/port.js';
import { users } from '../../src/data/user.js';
import { timestamp } from '../../src/model/common.js';
import { siteCaller } from '../../src/task/site-caller.js';
import type { AuditEvent } from '../../src/model/audit.js';
import type { Instance } from '../../src/model/instance.js';
import type { Label } from '../../src/model/label.js';
import { absentId } from '../support/fuzz-seed.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/labels';

describe('/api/v2/labels', () => {
  let server: TestServer;
  let project: SeededProject;
  let foreign: SeededProject;
  const people = {} as Record<'admin' | 'operator' | 'reader' | 'stranger', Person>;
  let count = 0;

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
    for (const name of ['admin', 'operator', 'reader', 'stranger'] as const)
      people[name] = await addPerson(server.app, `label-${name}`);
    const { admin, operator, reader, stranger } = people;
    project = await addProject(server.app, {
      name: 'labelled',
      admins: [admin],
      members: [operator],
      readers: [reader],
    });
    foreign = await addProject(server.app, { name: 'elsewhere', admins: [stranger] });
  });
  after(() => server.stop());

  async function labelOf(spec: object, api = server.admin): Promise<Label> {
    const name = `label-${(count += 1)}`;
    const reply = await api.post<Label>(path, { metadata: { name }, spec });
    expect(reply.status, reply.text).to.equal(201);
    return reply.body;
  }
  const idsOf = (labels: Label[]) => labels.map(({ metadata }) => metadata.id);

  it('are of a project, which operators make, or of an organization, which superusers make', async () => {
    const { operator, reader, stranger } = people;
    const { metadata, spec } = await labelOf(
      { projectId: project.id, properties: { color: 'red' } },
      operator.api,
    );
    expect(spec).to.deep.equal({
      organizationId: project.organizationId,
      projectId: project.id,
      properties: { color: 'red' },
    });
    expect(metadata.createdBy).to.equal('label-operator');
    const wide = await labelOf({ organizationId: project.organizationId });
    expect(wide.spec).to.deep.equal({ organizationId: project.organizationId, properties: {} });
    const apart = await labelOf({ projectId: foreign.id });

    const seen = async (who: Person, query = '') =>
      idsOf((await who.api.get<Label[]>(`${path}${query}`)).body);
    expect(await seen(reader)).to.deep.equal([metadata.id, wide.metadata.id]);
    expect(await seen(reader, `?projectID=${project.id}`)).to.deep.equal([metadata.id]);
    expect(await seen(reader, `?projectID=${foreign.id}`)).to.deep.equal([]);
    expect(await seen(stranger)).to.deep.equal([apart.metadata.id]);
    expect((await server.admin.get<Label[]>(path)).body).to.have.length(3);

    const create = (who: Person, body: object) => ({ who, body: { metadata: { name: 'mine' }, ...body } });
    for (const [{ who, body }, code] of [
      [create(reader, { spec: { projectId: project.id } }), 'forbidden'],
      [create(stranger, { spec: { projectId: project.id } }), 'not_found'],
      [create(people.admin, { spec: { organizationId: project.organizationId } }), 'forbidden'],
      [create(people.admin, { spec: { organizationId: foreign.organizationId } }), 'not_found'],
      [create(operator, { spec: { projectId: absentId } }), 'not_found'],
      [create(operator, { spec: {} }), 'invalid_body'],
      [
        create(operator, { spec: { projectId: project.id, organizationId: foreign.organizationId } }),
        'not_found',
      ],
      [create(operator, { spec: { projectId: project.id, properties: { color: 1 } } }), 'invalid_body'],
      [create(operator, { spec: { projectId: project.id }, createdBy: 'me' }), 'invalid_body'],
    ] as const)
      await who.api.refused(code, 'POST', path, { body });
    await operator.api.refused('name_taken', 'POST', path, {
      body: { metadata: { name: metadata.name }, spec: { projectId: project.id } },
    });
  });

  it('are changed property by property, and deleted, by who may make them', async () => {
    const { operator, reader, stranger } = people;
    const made = await labelOf({ projectId: project.id, properties: { color: 'red', icon: 'leaf' } });
    const one = `${path}/${made.metadata.id}`;
    const patch = { spec: { properties: { color: 'green', icon: null } }, metadata: { name: 'renamed' } };
    await reader.api.refused('forbidden', 'PATCH', one, { body: patch });
    await stranger.api.refused('not_found', 'PATCH', one, { body: patch });
    await operator.api.refused('precondition_failed', 'PATCH', one, {
      body: patch,
      headers: { 'If-Match': '"7"' },
    });
    const { body } = await operator.api.patch<Label>(one, patch);
    expect(body.spec.properties).to.deep.equal({ color: 'green' });
    expect(body.metadata).to.include({ name: 'renamed', modifiedBy: 'label-operator' });
    expect((await reader.api.get<Label>(one)).body).to.deep.equal(body);
    await stranger.api.refused('not_found', 'GET', one);
    for (const wrong of [
      { spec: { projectId: foreign.id } },
      { metadata: { name: null } },
      { spec: { properties: { 'a b': 'x' } } },
    ])
      await operator.api.refused('invalid_body', 'PATCH', one, { body: wrong });
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`p${index}`, 'x']));
    await operator.api.refused('unprocessable', 'PATCH', one, { body: { spec: { properties: many } } });
    await reader.api.refused('forbidden', 'DELETE', one);
    await stranger.api.refused('not_found', 'DELETE', one);
    expect((await operator.api.delete(one)).status).to.equal(204);
    await operator.api.refused('not_found', 'GET', one);
  });

  it('are put on every type of resource, listed by name, and taken off', async () => {
    const { operator, admin, reader } = people;
    const { metadata } = await server.createInstance('with-labels', {}, operator.api);
    const places: [string, Person['api'], Person['api']][] = [
      [`/api/v2/instances/${metadata.id}`, operator.api, reader.api],
      [`/api/v2/projects/${project.id}`, admin.api, reader.api],
      [`/api/v2/organizations/${project.organizationId}`, server.admin, server.admin],
      [`/api/v2/users/${reader.id}`, server.admin, reader.api],
    ];
    const wide = await labelOf({ organizationId: project.organizationId });
    const narrow = await labelOf({ projectId: project.id });
    const apart = await labelOf({ projectId: foreign.id });
    for (const [resource, writer, viewer] of places) {
      const list = `${resource}/labels`;
      const fitting = resource.includes('organizations') ? [wide] : [narrow, wide];
      for (const { metadata: label } of fitting) {
        const reply = await writer.post<Label>(list, { labelID: label.id });
        expect(reply.status, reply.text).to.equal(201);
        expect(reply.headers.get('location')).to.equal(`${server.url}${list}/${label.id}`);
        const twice = { body: { labelID: label.id } };
        await writer.refused('already_exists', 'POST', list, twice);
      }
      const { body } = await viewer.get<Label[]>(list);
      expect(idsOf(body)).to.have.members(idsOf(fitting));
      expect(body.map(({ metadata: { name } }) => name)).to.deep.equal(
        fitting.map(({ metadata: { name } }) => name).sort(),
      );
      const others = resource.includes('users') ? [absentId] : [absentId, apart.metadata.id];
      for (const labelID of others) await writer.refused('not_found', 'POST', list, { body: { labelID } });
      await writer.refused('invalid_body', 'POST', list, { body: { labelID: wide.metadata.id, id: 'x' } });
      if (viewer !== writer) {
        const code = resource.includes('users') ? 'not_found' : 'forbidden';
        await viewer.refused(code, 'DELETE', `${list}/${wide.metadata.id}`);
      }
      expect((await writer.delete(`${list}/${wide.metadata.id}`)).status).to.equal(204);
      await writer.refused('not_found', 'DELETE', `${list}/${wide.metadata.id}`);
      expect(idsOf((await viewer.get<Label[]>(list)).body)).not.to.include(wide.metadata.id);
    }
    await server.admin.refused('not_found', 'GET', `/api/v2/organizations/${absentId}/labels`);

    // A deleted label is nowhere.
    expect((await operator.api.delete(`${path}/${narrow.metadata.id}`)).status).to.equal(204);
    for (const [resource, , viewer] of places)
      expect((await viewer.get<Label[]>(`${resource}/labels`)).body).to.deep.equal([]);
    const { store } = server.app;
    const left = { has: { labels: [narrow.metadata.id] } };
    expect(await store.count(instances, left)).to.equal(0);
    expect(await store.count(users, left)).to.equal(0);

    const trail = await server.admin.get<AuditEvent[]>(
      `/api/v2/admin/events?resourceID=${metadata.id}&type=instance`,
    );
    expect(trail.body.map(({ action }) => action)).to.include.members(['label.attach', 'label.detach']);
  });

  it('are shown in what has them, and its lists show only what has all of the named ones', async () => {
    const { operator, admin, reader } = people;
    const [one, other] = [
      await server.createInstance('shown-one', {}, operator.api),
      await server.createInstance('shown-other', {}, operator.api),
    ];
    const first = (await labelOf({ projectId: project.id })).metadata.id;
    const second = (await labelOf({ organizationId: project.organizationId })).metadata.id;
    const path = `/api/v2/instances/${one.metadata.id}`;
    for (const labelID of [first, second])
      expect((await operator.api.post(`${path}/labels`, { labelID })).status).to.equal(201);
    await operator.api.post(`/api/v2/instances/${other.metadata.id}/labels`, { labelID: second });
    const shown = await reader.api.get<Instance>(path);
    expect(shown.body.metadata.labels).to.deep.equal([first, second]);

    const filtered = async (list: string, api = reader.api) =>
      (await api.get<Instance[]>(`/api/v2/${list}`)).body.map(({ metadata }) => metadata.id);
    expect(await filtered(`instances?labelID=${second}`)).to.deep.equal([one.metadata.id, other.metadata.id]);
    expect(await filtered(`instances?labelID=${first}&labelID=${second}`)).to.deep.equal([one.metadata.id]);
    expect(await filtered(`instances?labelID=${second}&sort=name&descending=true`)).to.deep.equal([
      other.metadata.id,
      one.metadata.id,
    ]);
    expect(await filtered(`instances?labelID=${absentId}`)).to.deep.equal([]);
    expect(await filtered(`users/${operator.id}/instances?labelID=${first}`, operator.api)).to.deep.equal([
      one.metadata.id,
    ]);
    await reader.api.refused('invalid_parameter', 'GET', '/api/v2/instances?labelID=red');

    await admin.api.post(`/api/v2/projects/${project.id}/labels`, { labelID: first });
    await server.admin.post(`/api/v2/organizations/${project.organizationId}/labels`, { labelID: second });
    await server.admin.post(`/api/v2/users/${reader.id}/labels`, { labelID: first });
    expect(await filtered(`projects?labelID=${first}`)).to.deep.equal([project.id]);
    expect(await filtered(`projects?labelID=${second}`)).to.deep.equal([]);
    expect(await filtered(`projects?labelID=${first}`, server.admin)).to.deep.equal([project.id]);
    expect(await filtered(`organizations?labelID=${second}`, server.admin)).to.deep.equal([
      project.organizationId,
    ]);
    expect(await filtered(`users?labelID=${first}`, server.admin)).to.deep.equal([reader.id]);

    // What was read before can still be written back, and keeps its labels.
    const stale = await operator.api.get<Instance>(`/api/v2/instances/${other.metadata.id}`);
    await operator.api.post(`/api/v2/instances/${other.metadata.id}/labels`, { labelID: first });
    const { metadata, spec } = stale.body;
    const written = await operator.api.put<Instance>(`/api/v2/instances/${other.metadata.id}`, {
      metadata: { ...metadata, description: 'written back' },
      spec,
    });
    expect(written.status, written.text).to.equal(202);
    expect(written.body.metadata.labels).to.deep.equal([second, first]);
    await operator.api.refused('unprocessable', 'PATCH', path, { body: { metadata: { labels: [second] } } });

    await operator.api.delete(`${path}/labels/${first}`);
    await operator.api.delete(`${path}/labels/${second}`);
    expect((await reader.api.get<Instance>(path)).body.metadata).not.to.have.property('labels');
  });

  it('go with their project, from whatever else has them', async () => {
    const { id } = await addProject(server.app, { name: 'short-lived' });
    const label = (await labelOf({ projectId: id })).metadata.id;
    const user = `/api/v2/users/${people.stranger.id}`;
    expect((await server.admin.post(`${user}/labels`, { labelID: label })).status).to.equal(201);
    expect((await server.admin.delete(`/api/v2/projects/${id}`)).status).to.equal(204);
    await server.admin.refused('not_found', 'GET', `${path}/${label}`);
    expect((await server.admin.get<Instance>(user)).body.metadata).not.to.have.property('labels');
    const { body } = await server.admin.get<AuditEvent[]>(`/api/v2/admin/events?resourceID=${label}`);
    expect(body.map(({ action }) => action)).to.deep.equal(['label.create', 'label.delete']);
  });

  it('whose deletion has died are put on nothing any more, and are deleted by the next sweep', async () => {
    const { store, connector } = server.app;
    const label = (await labelOf({ projectId: project.id })).metadata.id;
    const list = `/api/v2/projects/${project.id}/labels`;
    expect((await people.admin.api.post(list, { labelID: label })).status).to.equal(201);
    const found = await store.get(labels, label);
    if (found === undefined) throw new Error('the label is not there');
    await store.write([replace(labels, found, { ...found.value, deletionTime: timestamp() })]);
    const { metadata } = await server.createInstance('too-late', {}, people.operator.api);
    await people.operator.api.refused('not_found', 'POST', `/api/v2/instances/${metadata.id}/labels`, {
      body: { labelID: label },
    });
    const sweep = siteCaller('labels', new AbortController().signal);
    expect(await connector.labels.completeDeletions(sweep)).to.equal(1);
    expect(await store.get(labels, label)).to.be.undefined;
    expect((await people.admin.api.get<Label[]>(list)).body.map(({ metadata: { id } }) => id)).not.to.include(
      label,
    );
  });
});
