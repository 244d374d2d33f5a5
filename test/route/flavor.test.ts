import { expect } from 'chai';
import type { Flavor } from '../../src/model/flavor.js';
import { addPerson } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('GET /api/v1/organizations/{organizationID}/regions/{regionID}/flavors', () => {
  let server: TestServer;
  let path: string;

  before(async () => {
    server = await startServer();
    path = `/api/v1/organizations/${server.catalog.organizationId}/regions/${server.catalog.regionId}/flavors`;
  });
  after(() => server.stop());

  it('lists the sizes, smallest first, with memory in GiB rounded up and in MiB exactly', async () => {
    const { body, headers } = await server.admin.get<Flavor[]>(path);
    expect(body.map(({ spec }) => [spec.cpus, spec.memoryMiB])).to.deep.equal([
      [1, 128],
      [1, 512],
      [2, 2048],
      [4, 8192],
      [16, 65536],
      [32, 262_144],
    ]);
    for (const { spec } of body) expect(spec.memory).to.equal(Math.ceil(spec.memoryMiB / 1024));
    expect(headers.get('cache-control')).to.equal('private, max-age=60');
  });

  it('shows the GPU of a flavor, and leaves out those that instances cannot have', async () => {
    const { body } = await server.admin.get<Flavor[]>(path);
    expect(body.at(-1)?.spec.gpu).to.deep.equal({
      vendor: 'NVIDIA',
      model: 'SIM-80',
      memory: 80,
      physicalCount: 1,
      logicalCount: 1,
    });
    expect(body.map(({ metadata }) => metadata.name)).not.to.include('pinned');
    const principal = { organizationId: server.catalog.organizationId, projectIds: [] };
    const offered = await server.cloud.listFlavors(principal, new AbortController().signal);
    const pinned = offered.find(({ spec }) => spec.pinnedOnly)?.metadata.id ?? '';
    await server.admin.refused(
      'not_found',
      'GET',
      `/api/v2/regions/${server.catalog.regionId}/flavors/${pinned}`,
    );
    const wish = server.instanceBody('pinned', { spec: { flavorId: pinned } });
    const refused = await server.admin.refused('invalid_reference', 'POST', '/api/v2/instances', {
      body: wish,
    });
    expect(refused.body.errors?.map(({ pointer }) => pointer)).to.deep.equal(['/spec/flavorId']);
    const instance = await server.running('unpinned');
    const patch = { body: { spec: { flavorId: pinned } } };
    await server.admin.refused(
      'invalid_reference',
      'PATCH',
      `/api/v2/instances/${instance.metadata.id}`,
      patch,
    );
  });

  it('has a tag, with which a client asks whether its copy is still right', async () => {
    const first = await server.admin.get(path);
    const tag = first.headers.get('etag') ?? '';
    expect(tag).to.match(/^"[^"]+"$/);
    const again = await server.admin.get(path, { headers: { 'If-None-Match': tag } });
    expect([again.status, again.text]).to.deep.equal([304, '']);
    expect(again.headers.get('cache-control')).to.equal('private, max-age=60');
    const images = await server.admin.get(path.replace(/flavors$/, 'images'), {
      headers: { 'If-None-Match': tag },
    });
    expect(images.status).to.equal(200);
  });

  it('gives the same ids each time, so that a client may keep them', async () => {
    const first = await server.admin.get(path);
    const second = await server.admin.get(path);
    expect(first.text).to.equal(second.text);
  });

  it('does not know an absent region or organization, nor one of strangers', async () => {
    const absent = '0193a5c0-0000-7000-8000-000000000001';
    const stranger = await addPerson(server.app, 'f-stranger');
    await server.admin.refused('not_found', 'GET', path.replace(server.catalog.regionId, absent));
    await server.admin.refused('not_found', 'GET', path.replace(server.catalog.organizationId, absent));
    await stranger.api.refused('not_found', 'GET', path);
  });
});
