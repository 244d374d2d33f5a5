/** Images that users bring: who makes, sees, uses and changes them. */
import { expect } from 'chai';
import type { AuditEvent } from '../../src/model/audit.js';
import type { Image } from '../../src/model/image.js';
import type { Instance } from '../../src/model/instance.js';
import { parsePaginationHeader } from '../../src/route/pipeline/pagination.js';
import { eventually } from '../support/eventually.js';
import { absentId } from '../support/fuzz-seed.js';
import { seedImage } from '../support/images.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/images';
const checksum = `sha256:${'0'.repeat(64)}`;

describe('/api/v2/images', () => {
  let server: TestServer;
  let project: SeededProject;
  /** Of the same organization. */
  let sibling: SeededProject;
  const people = {} as Record<'operator' | 'reader' | 'colleague' | 'stranger', Person>;
  let count = 0;

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
    for (const name of ['operator', 'reader', 'colleague', 'stranger'] as const)
      people[name] = await addPerson(server.app, `image-${name}`);
    const { operator, reader, colleague, stranger } = people;
    project = await addProject(server.app, { name: 'imaged', members: [operator], readers: [reader] });
    const { organizationId } = project;
    sibling = await addProject(server.app, { name: 'beside', organizationId, members: [colleague] });
    await addProject(server.app, { name: 'far', members: [stranger] });
  });
  after(() => server.stop());

  const place = ({ id, organizationId } = project) => ({
    projectId: id,
    organizationId,
    regionId: server.catalog.regionId,
  });
  const bodyOf = (name: string, spec: object = {}) => ({
    metadata: { name },
    spec: {
      projectId: project.id,
      regionId: server.catalog.regionId,
      source: { type: 'upload', sizeBytes: 1000, checksum },
      ...spec,
    },
  });
  async function newImage(api = people.operator.api): Promise<Image> {
    const reply = await api.post<Image>(path, bodyOf(`image-${(count += 1)}`));
    expect(reply.status, reply.text).to.equal(201);
    expect(reply.headers.get('location')).to.match(new RegExp(`${path}/${reply.body.metadata.id}$`));
    return reply.body;
  }
  const seen = async (who: Person, id: string) => (await who.api.get(`${path}/${id}`)).status;

  it('are made by those who may operate in the project, and wait for their content', async () => {
    const image = await newImage();
    expect(image.metadata).to.include({ createdBy: 'image-operator', projectId: project.id });
    expect(image.spec).to.deep.include({
      visibility: 'private',
      source: { type: 'upload', format: 'qcow2', sizeBytes: 1000, checksum },
    });
    expect(image.status).to.deep.equal({ state: 'pending', progress: 0 });
    const { body } = await people.reader.api.get<Image>(`${path}/${image.metadata.id}`);
    expect(body).to.deep.equal(image);
    await people.reader.api.refused('forbidden', 'POST', path, { body: bodyOf('reader') });
    await people.stranger.api.refused('not_found', 'POST', path, { body: bodyOf('stranger') });
    const lost = await people.operator.api.refused('not_found', 'POST', path, {
      body: bodyOf('nowhere', { regionId: absentId }),
    });
    expect(lost.body.errors?.[0]?.pointer).to.equal('/spec/regionId');
  });

  it('have names that are unique in the project', async () => {
    const { metadata } = await newImage();
    const again = await people.operator.api.refused('name_taken', 'POST', path, {
      body: bodyOf(metadata.name),
    });
    expect(again.body.errors?.[0]?.pointer).to.equal('/metadata/name');
    const other = await newImage();
    await people.operator.api.refused('name_taken', 'PATCH', `${path}/${other.metadata.id}`, {
      body: { metadata: { name: metadata.name } },
    });
  });

  it('need what their source needs', async () => {
    for (const [source, member] of [
      [{ type: 'upload', checksum }, 'sizeBytes'],
      [{ type: 'upload', sizeBytes: 1, checksum, url: 'https://example.org/' }, 'url'],
      [{ type: 'import', checksum }, 'url'],
      [{ type: 'upload', sizeBytes: 1 }, 'checksum'],
      [{ type: 'upload', sizeBytes: 0, checksum }, 'sizeBytes'],
      [{ type: 'upload', sizeBytes: 1, checksum: 'sha256:0' }, 'checksum'],
      [{ type: 'snapshot', checksum }, 'type'],
      [{ type: 'upload', sizeBytes: 1, checksum, format: 'vmdk' }, 'format'],
    ] as const) {
      const reply = await people.operator.api.refused('invalid_body', 'POST', path, {
        body: bodyOf('unsourced', { source }),
      });
      expect(JSON.stringify(reply.body.errors)).to.include(`/spec/source/${member}`);
    }
  });

  it('are seen by their project, their organization, or everyone', async () => {
    const { operator, reader, colleague, stranger } = people;
    const { id } = (await newImage()).metadata;
    const seenBy = async () =>
      Promise.all([operator, reader, colleague, stranger].map((who) => seen(who, id)));
    expect(await seenBy()).to.deep.equal([200, 200, 404, 404]);
    const patch = (visibility: string, api = operator.api) =>
      api.call<Image>('PATCH', `${path}/${id}`, { body: { spec: { visibility } } });
    expect((await patch('organization')).body.spec.visibility).to.equal('organization');
    expect(await seenBy()).to.deep.equal([200, 200, 200, 404]);
    await operator.api.refused('forbidden', 'PATCH', `${path}/${id}`, {
      body: { spec: { visibility: 'public' } },
    });
    await operator.api.refused('forbidden', 'POST', path, { body: bodyOf('loud', { visibility: 'public' }) });
    expect((await patch('public', server.admin)).status).to.equal(200);
    expect(await seenBy()).to.deep.equal([200, 200, 200, 200]);
    const listed = await stranger.api.get<Image[]>(`${path}?limit=1000`);
    expect(listed.body.map(({ metadata }) => metadata.id)).to.include(id);
    // Who sees it does not change it.
    await stranger.api.refused('not_found', 'PATCH', `${path}/${id}`, {
      body: { metadata: { name: 'mine' } },
    });
    await stranger.api.refused('not_found', 'DELETE', `${path}/${id}`);
  });

  it('are listed beside those of the catalogs, page by page in either direction', async () => {
    const mine = [(await newImage()).metadata.id, (await newImage()).metadata.id];
    const whole = await people.operator.api.get<Image[]>(`${path}?limit=1000`);
    const ids = whole.body.map(({ metadata }) => metadata.id);
    expect(ids).to.include.members([...mine, ...Object.values(server.catalog.images)]);
    expect(ids).to.deep.equal([...ids].sort());
    const built = whole.body.find(({ metadata }) => metadata.name === 'sim-linux');
    expect(built?.spec).to.deep.include({
      regionId: server.catalog.regionId,
      visibility: 'public',
      source: { type: 'catalog' },
    });
    for (const descending of [false, true]) {
      const walked: string[] = [];
      for (let next = `${path}?limit=2&descending=${descending}`; next !== '';) {
        const page = await people.operator.api.get<Image[]>(next);
        walked.push(...page.body.map(({ metadata }) => metadata.id));
        const link = parsePaginationHeader(page.headers.get('link')).next?.url;
        next = link === undefined ? '' : link.slice(server.url.length);
      }
      expect(walked).to.deep.equal(descending ? [...ids].reverse() : ids);
    }
    const own = await people.operator.api.get<Image[]>(`${path}?projectID=${project.id}&limit=1000`);
    expect(new Set(own.body.map(({ metadata }) => metadata.projectId))).to.deep.equal(new Set([project.id]));
    const nowhere = await people.operator.api.get<Image[]>(`${path}?regionID=${absentId}`);
    expect(nowhere.body).to.deep.equal([]);
  });

  it('make instances once they are ready, for those who see them', async () => {
    const { store } = server.app;
    const { operator, colleague } = people;
    const { organizationId } = project;
    const { regionId } = server.catalog;
    const region = `/api/v1/organizations/${organizationId}/regions/${regionId}/images`;
    const ready = await seedImage(store, place());
    const pending = await seedImage(store, place(), { state: 'pending' });
    const shared = await seedImage(store, place(), { visibility: 'organization' });
    const idsFor = async (who: Person) =>
      (await who.api.get<Image[]>(region)).body.map(({ metadata }) => metadata.id);
    expect(await idsFor(operator))
      .to.include.members([ready, shared])
      .and.not.to.include(pending);
    expect(await idsFor(colleague))
      .to.include.members([shared, server.catalog.images['sim-linux'] ?? ''])
      .and.not.to.include(ready);
    const found = await operator.api.get<Image>(`/api/v2/regions/${regionId}/images/${ready}`);
    expect(found.body.metadata.id).to.equal(ready);

    const create = (imageId: string, name: string, who: Person, projectId: string) =>
      who.api.post<Instance>(
        '/api/v2/instances',
        server.instanceBody(name, { spec: { imageId, projectId } }),
      );
    const made = await create(ready, 'from-own', operator, project.id);
    expect(made.status, made.text).to.equal(201);
    expect(made.body.spec.imageId).to.equal(ready);
    expect((await create(shared, 'from-shared', colleague, sibling.id)).status).to.equal(201);
    for (const [image, who, where] of [
      [ready, colleague, sibling],
      [pending, operator, project],
    ] as const) {
      const reply = await create(image, 'refused', who, where.id);
      expect([reply.status, JSON.stringify(reply.body)].join(' '))
        .to.match(/^400/)
        .and.to.include('/spec/imageId');
    }
  });

  it('are deleted by a task, but not while an instance uses them, and not from a catalog', async () => {
    const id = await seedImage(server.app.store, place());
    const { operator } = people;
    const imageId = { spec: { imageId: id, projectId: project.id } };
    const instance = await server.createInstance('user-of-it', imageId, operator.api);
    const used = await operator.api.refused('in_use', 'DELETE', `${path}/${id}`);
    expect(used.body.message).to.include('An instance uses the image');
    await server.settled(instance.metadata.id);
    await server.deleteInstance(instance.metadata.id);
    const reply = await operator.api.delete(`${path}/${id}`);
    expect(reply.status, reply.text).to.equal(202);
    expect((await server.ended(reply.headers.get('location'))).status).to.equal('succeeded');
    await operator.api.refused('not_found', 'GET', `${path}/${id}`);
    const body = server.instanceBody('too-late', imageId);
    await operator.api.refused('invalid_reference', 'POST', '/api/v2/instances', { body });

    const built = `${path}/${server.catalog.images['sim-linux'] ?? ''}`;
    expect((await operator.api.get(built)).status).to.equal(200);
    await operator.api.refused('not_found', 'DELETE', built);
    await server.admin.refused('in_use', 'DELETE', built);
    await server.admin.refused('in_use', 'PATCH', built, { body: { metadata: { name: 'mine' } } });
  });

  it('and instances from them at the same time: one of the two is refused', async () => {
    for (let round = 0; round < 5; round += 1) {
      const id = await seedImage(server.app.store, place());
      const spec = { imageId: id, projectId: project.id };
      const body = server.instanceBody(`race-${round}`, { spec });
      const [made, deleted] = await Promise.all([
        people.operator.api.post<Instance>('/api/v2/instances', body),
        people.operator.api.delete(`${path}/${id}`),
      ]);
      if (made.status === 201) {
        if (deleted.status === 202) await server.ended(deleted.headers.get('location'));
        expect(await seen(people.operator, id), `${made.status} ${deleted.status}`).to.equal(200);
        const { body: image } = await people.operator.api.get<Image>(`${path}/${id}`);
        expect(image.metadata.deletionTime).to.equal(undefined);
      } else {
        expect([made.status, deleted.status]).to.deep.equal([400, 202]);
      }
    }
  });

  it('leave records in the audit trail', async () => {
    const { id } = (await newImage()).metadata;
    await people.operator.api.call('PATCH', `${path}/${id}`, {
      body: { metadata: { description: 'Mine.' } },
    });
    const reply = await people.operator.api.delete(`${path}/${id}`);
    await server.ended(reply.headers.get('location'));
    await eventually(async () => {
      const { body } = await server.admin.get<AuditEvent[]>(
        `/api/v2/admin/events?resourceID=${id}&limit=100`,
      );
      const actions = new Set(body.map(({ action }) => action));
      return ['image.create', 'image.update', 'image.delete'].every((one) => actions.has(one));
    });
  });

  it('keep their project', async () => {
    const alone = await addProject(server.app, { name: 'alone' });
    await seedImage(server.app.store, place(alone));
    const reply = await server.admin.refused('in_use', 'DELETE', `/api/v2/projects/${alone.id}`);
    expect(reply.body.message).to.include('an image');
  });
});
