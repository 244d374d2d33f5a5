/** GET of one project, network, region, flavor and image. */
import { expect } from 'chai';
import type { Flavor } from '../../src/model/flavor.js';
import type { Image } from '../../src/model/image.js';
import { absentId } from '../support/fuzz-seed.js';
import { addPerson, addProject } from '../support/people.js';
import { Api } from '../support/conform.js';
import { startServer, type TestServer } from '../support/server.js';

interface Item {
  metadata: { id: string };
}

describe('GET of one', () => {
  let server: TestServer;
  let member: { api: Api };
  let stranger: { api: Api };
  let networkId: string;
  let projectId: string;

  /** Where each kind is listed, and where one of them is. */
  const kinds = () => {
    const { organizationId, regionId } = server.catalog;
    const regions = `/api/v1/organizations/${organizationId}/regions`;
    return {
      project: ['/api/v2/projects', '/api/v2/projects'],
      network: ['/api/v2/networks', '/api/v2/networks'],
      region: [regions, '/api/v2/regions'],
      flavor: [`${regions}/${regionId}/flavors`, `/api/v2/regions/${regionId}/flavors`],
      image: [`${regions}/${regionId}/images`, `/api/v2/regions/${regionId}/images`],
    } as const;
  };

  before(async () => {
    server = await startServer();
    const someone = await addPerson(server.app, 'one-member');
    member = someone;
    stranger = await addPerson(server.app, 'one-stranger');
    const project = await addProject(server.app, { name: 'one', members: [someone] });
    projectId = project.id;
    networkId = project.networkIds[0] ?? '';
  });
  after(() => server.stop());

  for (const kind of ['project', 'network', 'region', 'flavor', 'image'] as const) {
    it(`${kind} is the very item of its list, with a tag that spares reading it again`, async () => {
      const [list, one] = kinds()[kind];
      const all = (await server.admin.get<Item[]>(list)).body;
      expect(all).not.to.be.empty;
      for (const item of all) {
        const path = `${one}/${item.metadata.id}`;
        const reply = await server.admin.get<Item>(path);
        expect(reply.body, path).to.deep.equal(item);
        const tag = reply.headers.get('etag') ?? '';
        expect(tag).to.match(/^"[\w-]+"$/);
        const headers = { 'If-None-Match': tag };
        const again = await server.admin.get(path, { headers });
        expect([again.status, again.headers.get('etag')]).to.deep.equal([304, tag]);
        const cached = kind === 'project' || kind === 'network' ? 'no-cache' : 'private, max-age=60';
        expect(reply.headers.get('cache-control')).to.equal(cached);
        await server.admin.refused('precondition_failed', 'GET', path, {
          headers: { 'If-Match': '"other"' },
        });
      }
    });

    it(`${kind} is the same 404 when it is absent and when it is hidden, 400 for what is no id, 401 to nobody`, async () => {
      const [list, one] = kinds()[kind];
      const id = (await server.admin.get<Item[]>(list)).body[0]?.metadata.id ?? '';
      const refused = async (path: string) =>
        (await stranger.api.refused('not_found', 'GET', path)).text.replace(/"requestId":"[^"]*"/, '');
      expect(await refused(`${one}/${id}`)).to.equal(await refused(`${one}/${absentId}`));
      await server.admin.refused('not_found', 'GET', `${one}/${absentId}`);
      const bad = await server.admin.refused('invalid_parameter', 'GET', `${one}/nonsense`);
      expect(bad.body.errors?.[0]?.parameter).to.equal(`${kind}ID`);
      await new Api(server.url).refused('unauthorized', 'GET', `${one}/${id}`);
    });
  }

  it('shows a member the contents of their project and the catalog, and nothing else', async () => {
    const { regionId, flavors, images } = server.catalog;
    for (const path of [
      `/api/v2/projects/${projectId}`,
      `/api/v2/networks/${networkId}`,
      `/api/v2/regions/${regionId}`,
      `/api/v2/regions/${regionId}/flavors/${flavors['tiny'] ?? ''}`,
      `/api/v2/regions/${regionId}/images/${images['sim-linux'] ?? ''}`,
    ])
      expect((await member.api.get(path)).status, path).to.equal(200);
    for (const path of [
      `/api/v2/projects/${server.catalog.projectId}`,
      `/api/v2/networks/${server.catalog.networkId}`,
      `/api/v2/regions/${absentId}/flavors/${flavors['tiny'] ?? ''}`,
      `/api/v2/regions/${regionId}/flavors/${images['sim-linux'] ?? ''}`,
    ])
      await member.api.refused('not_found', 'GET', path);
  });

  it('flavor and image say what an instance needs to be made of them', async () => {
    const { regionId, flavors, images } = server.catalog;
    const flavor = await member.api.get<Flavor>(
      `/api/v2/regions/${regionId}/flavors/${flavors['tiny'] ?? ''}`,
    );
    const image = await member.api.get<Image>(
      `/api/v2/regions/${regionId}/images/${images['sim-linux'] ?? ''}`,
    );
    expect([flavor.body.metadata.name, image.body.metadata.name]).to.deep.equal(['tiny', 'sim-linux']);
    expect(image.body.status.state).to.equal('ready');
  });
});
