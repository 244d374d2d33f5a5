import { expect } from 'chai';
import type { Image } from '../../src/model/image.js';
import { addPerson } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('GET /api/v1/organizations/{organizationID}/regions/{regionID}/images', () => {
  let server: TestServer;
  let path: string;

  before(async () => {
    server = await startServer();
    path = `/api/v1/organizations/${server.catalog.organizationId}/regions/${server.catalog.regionId}/images`;
  });
  after(() => server.stop());

  it('lists the images that are ready, by name', async () => {
    const { body } = await server.admin.get<Image[]>(path);
    const names = body.map((image) => image.metadata.name);
    expect(names)
      .to.deep.equal([...names].sort())
      .and.to.include('sim-linux');
    expect(new Set(body.map((image) => image.status.state))).to.deep.equal(new Set(['ready']));
    expect(body[0]?.spec.os).to.include({ kernel: 'linux', family: 'debian' });
  });

  it('leaves out images that bring software, from which an instance can be made nevertheless', async () => {
    const { body } = await server.admin.get<Image[]>(path);
    const shown = body.map(({ metadata }) => metadata.name);
    expect(shown).to.include('sim-nvidia').and.not.include('sim-kubernetes');
    expect(body.find(({ spec }) => spec.gpu !== undefined)?.spec.gpu).to.deep.equal({
      vendor: 'NVIDIA',
      driver: '580.65.6',
      models: ['SIM-80'],
    });
    const principal = { organizationId: server.catalog.organizationId, projectIds: [] };
    const offered = await server.cloud.listImages(principal, new AbortController().signal);
    const id = offered.find(({ spec }) => spec.softwareVersions)?.metadata.id ?? '';
    const one = await server.admin.get<Image>(`/api/v2/regions/${server.catalog.regionId}/images/${id}`);
    expect(one.body.spec.softwareVersions).to.deep.equal({ kubernetes: 'v1.34.2' });
    const instance = await server.running('of-software', { spec: { imageId: id } });
    expect(instance.spec.imageId).to.equal(id);
  });

  it('does not know an absent region or organization, nor one of strangers', async () => {
    const absent = '0193a5c0-0000-7000-8000-000000000001';
    const stranger = await addPerson(server.app, 'i-stranger');
    await server.admin.refused('not_found', 'GET', path.replace(server.catalog.regionId, absent));
    await server.admin.refused('not_found', 'GET', path.replace(server.catalog.organizationId, absent));
    await stranger.api.refused('not_found', 'GET', path);
  });
});
