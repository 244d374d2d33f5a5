/** One name for each parameter, and its other spellings: in queries, links, page keys, bodies and the document. */
import { expect } from 'chai';
import { parsePaginationHeader } from '../../src/route/pipeline/pagination.js';
import type { Instance } from '../../src/model/instance.js';
import { addProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

interface Operation {
  parameters: { name?: string; in?: string; description?: string; 'x-aliases'?: string[] }[];
}

const absent = '0193a5c0-0000-7000-8000-000000000001';

describe('the names of ids', () => {
  let server: TestServer;
  let instance: Instance;
  const ids = () => ({
    organization: server.catalog.organizationId,
    project: server.catalog.projectId,
    region: server.catalog.regionId,
    network: server.catalog.networkId,
    subject: instance.metadata.id,
    resource: instance.metadata.id,
  });
  const lists: [string, (keyof ReturnType<typeof ids>)[]][] = [
    ['/api/v2/instances', ['organization', 'project', 'region', 'network']],
    ['/api/v2/tasks', ['project', 'subject']],
    ['/api/v2/events', ['project', 'resource']],
    ['/api/v2/status/drift', ['project', 'region']],
  ];

  before(async () => {
    server = await startServer();
    instance = await server.running('named');
    await server.running('named-too');
  });
  after(() => server.stop());

  it('are understood in each spelling, by every list, as the same filter with the same links', async () => {
    for (const [path, filters] of lists) {
      for (const filter of filters) {
        for (const id of [ids()[filter], absent]) {
          const canonical = await server.admin.get(`${path}?${filter}ID=${id}`);
          for (const name of [`${filter}Id`, `${filter}_id`]) {
            const reply = await server.admin.get(`${path}?${name}=${id}`);
            expect(reply.status, `${path}?${name}`).to.equal(200);
            expect([reply.text, reply.headers.get('link')], `${path}?${name}`).to.deep.equal([
              canonical.text,
              canonical.headers.get('link'),
            ]);
          }
        }
      }
    }
  });

  it('narrow a change in each spelling: no task of another project or region is cancelled', async () => {
    const { id } = await addProject(server.app, { name: 'without-tasks' });
    for (const name of ['projectID', 'projectId', 'project_id']) {
      const held = await server.createInstance('held');
      const reply = await server.admin.call('DELETE', `/api/v2/admin/task_queue?${name}=${id}`);
      expect(reply.body, name).to.include({ cancelled: 0, aborting: 0 });
      await server.deleteInstance(held.metadata.id);
    }
  });

  it('may be given twice with the same value, and are refused with another', async () => {
    const { region } = ids();
    const path = '/api/v2/instances';
    const both = await server.admin.get<Instance[]>(`${path}?regionID=${region}&regionId=${region}`);
    expect(both.body).to.have.length(2);
    for (const query of [`regionID=${region}&regionId=${absent}`, `region_id=${absent}&regionID=${region}`]) {
      const reply = await server.admin.refused('invalid_parameter', 'GET', `${path}?${query}`);
      expect(reply.body.errors?.[0]?.parameter).to.be.oneOf(['regionId', 'region_id']);
      expect(reply.body.message).to.include('"regionID"');
    }
    const three = `regionId=${region}&region_id=${absent}`;
    await server.admin.refused('invalid_parameter', 'GET', `${path}?${three}`);
  });

  it('stay exact otherwise: an unknown one is refused with the nearest', async () => {
    for (const name of ['projectid', 'ProjectID', 'projectIDs', 'project-id', 'project_ID']) {
      const reply = await server.admin.refused(
        'invalid_parameter',
        'GET',
        `/api/v2/instances?${name}=${absent}`,
      );
      expect(reply.body.errors?.[0]?.parameter).to.equal(name);
      expect(reply.body.message).to.include('projectID');
    }
  });

  it('go on with a page key in any of their spellings', async () => {
    const { region } = ids();
    const first = await server.admin.get<Instance[]>(`/api/v2/instances?regionId=${region}&limit=1`);
    const { next } = parsePaginationHeader(first.headers.get('link'));
    expect(new URL(next?.url ?? '').searchParams.get('regionID')).to.equal(region);
    for (const name of ['regionID', 'regionId', 'region_id']) {
      const path = `/api/v2/instances?${name}=${region}&limit=1&key=${next?.key ?? ''}`;
      const page = await server.admin.get<Instance[]>(path);
      expect(
        page.body.map((one) => one.metadata.name),
        name,
      ).to.deep.equal(['named-too']);
    }
  });

  it('are understood in bodies: of a create, an update, a patch and a restart', async () => {
    const { flavorId, imageId } = instance.spec;
    const { regionId } = server.catalog;
    for (const [index, spec] of [
      { flavorID: flavorId, imageID: imageId, regionID: regionId },
      { flavor_id: flavorId, image_id: imageId, region_id: regionId, project_id: server.catalog.projectId },
    ].entries()) {
      const body = { metadata: { name: `spelt-${index}` }, spec };
      const made = await server.admin.post<Instance>('/api/v2/instances', body);
      expect(made.status, made.text).to.equal(201);
      expect(made.body.spec).to.deep.equal({ flavorId, imageId });
      const path = `/api/v2/instances/${made.body.metadata.id}`;
      const put = { metadata: { name: `spelt-${index}` }, spec: { flavorID: flavorId, image_id: imageId } };
      expect((await server.admin.put(path, put)).status).to.equal(202);
      const patch = { spec: { flavorID: flavorId }, status: { region_id: regionId } };
      expect((await server.admin.call('PATCH', path, { body: patch })).status).to.equal(202);
    }
    const times = { start: '2026-01-01T00:00:00Z', end: '2026-01-02T00:00:00Z', dryRun: true };
    const restart = { ...times, projectIDs: [server.catalog.projectId] };
    expect((await server.admin.post('/api/v2/admin/restart', restart)).status).to.equal(200);
  });

  it('are refused in a body that gives two values, and repeat under one Idempotency-Key in any spelling', async () => {
    const { flavorId, imageId } = instance.spec;
    const { regionId } = server.catalog;
    const wish = (spec: object) => ({ metadata: { name: 'keyed' }, spec: { flavorId, imageId, ...spec } });
    const two = wish({ regionId, regionID: absent });
    const reply = await server.admin.refused('invalid_body', 'POST', '/api/v2/instances', { body: two });
    expect(reply.body.errors?.[0]?.pointer).to.equal('/spec/regionID');
    const deep = `${'['.repeat(40_000)}${']'.repeat(40_000)}`;
    const raw = JSON.stringify(wish({ regionId: 0, regionID: 1 })).replace(/[01](?=[,}])/g, deep);
    await server.admin.refused('invalid_body', 'POST', '/api/v2/instances', {
      raw,
      headers: { 'Content-Type': 'application/json' },
    });
    const headers = { 'Idempotency-Key': '"spelt-otherwise"' };
    const first = await server.admin.post<Instance>('/api/v2/instances', wish({ regionId }), { headers });
    const again = await server.admin.post<Instance>('/api/v2/instances', wish({ regionID: regionId }), {
      headers,
    });
    expect([again.status, again.body.metadata.id]).to.deep.equal([201, first.body.metadata.id]);
  });

  it('have one spelling in all paths and queries of the document, which names the others', async () => {
    const { body } = await server.admin.get<{ paths: Record<string, Record<string, Operation>> }>(
      '/openapi.json',
    );
    let named = 0;
    for (const [path, operations] of Object.entries(body.paths)) {
      for (const { parameters } of Object.values(operations)) {
        for (const { name = '', in: place, description = '', 'x-aliases': aliases } of parameters) {
          // `id` alone, as the model has it, has no other spelling.
          if (place === 'header' || !/.id$/i.test(name)) continue;
          expect(name, path).to.match(/^[a-z]+ID$/);
          const stem = name.slice(0, -2);
          const others = [`${stem}Id`, `${stem}_id`];
          expect(aliases, `${path} ${name}`).to.deep.equal(place === 'query' ? others : undefined);
          if (place === 'query') for (const other of others) expect(description).to.include(`\`${other}\``);
          named += 1;
        }
      }
    }
    expect(named).to.be.above(20);
  });
});
