/** How instances are found in lists: filters, orders and the total. */
import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import { parsePaginationHeader } from '../../src/route/pipeline/pagination.js';
import { addPerson, addProject, type Person } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/instances';

describe('a list of instances', () => {
  let server: TestServer;
  let member: Person;
  const made: Instance[] = [];

  const find = async (query: string, api = server.admin) =>
    (await api.get<Instance[]>(`${path}?${query}`)).body.map(({ metadata }) => metadata.name);

  before(async () => {
    server = await startServer();
    const { flavors, images } = server.catalog;
    member = await addPerson(server.app, 'list-member');
    const own = await addProject(server.app, { name: 'listed', members: [member] });
    const specs: [string, object][] = [
      ['web-1', {}],
      ['web-2', { flavorId: flavors['medium'], imageId: images['sim-large'] }],
      ['webber', { projectId: own.id }],
      ['we', {}],
      ['db-web', { flavorId: flavors['medium'] }],
    ];
    for (const [name, spec] of specs) {
      const tags = [{ name: 'listed', value: name.startsWith('web') ? 'web' : 'other' }];
      made.push(await server.running(name, { metadata: { tags }, spec: spec as Record<string, unknown> }));
    }
    const stopped = made[0]?.metadata.id ?? '';
    await server.admin.post(`${path}/${stopped}/stop`);
    await server.settled(stopped, ({ status }) => status.powerState === 'Stopped');
  });
  after(() => server.stop());

  it('is filtered by names, and by how a name begins', async () => {
    expect(await find('name=web-1')).to.deep.equal(['web-1']);
    expect(await find('name=we&name=web-2&name=absent')).to.deep.equal(['web-2', 'we']);
    expect(await find('name=web*')).to.deep.equal(['web-1', 'web-2', 'webber']);
    expect(await find('name=web-*&sort=name&descending=true')).to.deep.equal(['web-2', 'web-1']);
    expect(await find('name=we')).to.deep.equal(['we']);
    expect(await find('name=web*', member.api)).to.deep.equal(['webber']);
    expect(await find('name=zzz*')).to.deep.equal([]);
  });

  it('refuses names that cannot be, and a beginning beside other names', async () => {
    for (const name of ['*', 'we*b', 'WEB*', '-web', '']) {
      await server.admin.refused('invalid_parameter', 'GET', `${path}?name=${encodeURIComponent(name)}`);
    }
    const reply = await server.admin.refused('invalid_parameter', 'GET', `${path}?name=web*&name=we`);
    expect(reply.body.errors?.[0]?.parameter).to.equal('name');
    expect(reply.body.message).to.include('only value');
  });

  it('is filtered by power state, flavor and image, of which all must match', async () => {
    const { flavors, images } = server.catalog;
    expect(await find('powerState=Stopped')).to.deep.equal(['web-1']);
    expect(await find('powerState=Stopped&powerState=Running')).to.have.length(5);
    expect(await find(`flavorID=${flavors['medium'] ?? ''}`)).to.deep.equal(['web-2', 'db-web']);
    expect(await find(`imageID=${images['sim-large'] ?? ''}`)).to.deep.equal(['web-2']);
    const both = `flavorID=${flavors['medium'] ?? ''}&imageID=${images['sim-linux'] ?? ''}`;
    expect(await find(`${both}&powerState=Running`)).to.deep.equal(['db-web']);
    expect(await find(`${both}&name=web*`)).to.deep.equal([]);
    await server.admin.refused('invalid_parameter', 'GET', `${path}?powerState=Sleeping`);
  });

  it('is filtered by the time of creation, alone and together with a tag and a name', async () => {
    const times = made.map(({ metadata }) => encodeURIComponent(metadata.creationTime));
    expect(await find(`createdAfter=${times[1] ?? ''}&createdBefore=${times[3] ?? ''}`)).to.deep.equal([
      'web-2',
      'webber',
    ]);
    expect(await find(`createdAfter=${times[1] ?? ''}&tag=listed%3Dweb`)).to.deep.equal(['web-2', 'webber']);
    expect(await find(`createdBefore=${times[2] ?? ''}&tag=listed%3Dweb&name=web-*&sort=name`)).to.deep.equal(
      ['web-1', 'web-2'],
    );
    expect(await find(`createdAfter=${times[1] ?? ''}&name=web*&tag=listed%3Dweb`)).to.deep.equal([
      'web-2',
      'webber',
    ]);
    await server.admin.refused('invalid_parameter', 'GET', `${path}?createdAfter=yesterday`);
  });

  it('comes in the order of names, creation or modification, both ways', async () => {
    expect(await find('sort=name')).to.deep.equal(['db-web', 'we', 'web-1', 'web-2', 'webber']);
    const created = ['web-1', 'web-2', 'webber', 'we', 'db-web'];
    expect(await find('sort=creationTime')).to.deep.equal(created);
    expect(await find('sort=creationTime&descending=true')).to.deep.equal(created.toReversed());
    const { id } = made[1]?.metadata ?? { id: '' };
    const changed = await server.admin.patch<Instance>(`${path}/${id}`, {
      metadata: { description: 'changed' },
    });
    expect(changed.status).to.equal(202);
    const modified = ['web-1', 'webber', 'we', 'db-web', 'web-2'];
    expect(await find('sort=modifiedTime')).to.deep.equal(modified);
    expect(await find('sort=modifiedTime&descending=true')).to.deep.equal(modified.toReversed());
    expect(await find('sort=modifiedTime', member.api)).to.deep.equal(['webber']);
  });

  it('has page keys that are valid for their own order, direction and filters only', async () => {
    const { headers } = await server.admin.get(`${path}?sort=modifiedTime&name=web*&limit=1`);
    const { next } = parsePaginationHeader(headers.get('link'));
    const key = next?.key ?? '';
    expect(await find(`sort=modifiedTime&name=web*&limit=1&key=${key}`)).to.have.length(1);
    for (const other of [
      'sort=creationTime&name=web*',
      'name=web*',
      'sort=modifiedTime&name=we*',
      'sort=modifiedTime',
      'sort=modifiedTime&name=web*&descending=true',
    ]) {
      await server.admin.refused('invalid_cursor', 'GET', `${path}?${other}&limit=1&key=${key}`);
    }
  });

  it('says how many there are on all pages if it is asked, and only then', async () => {
    const count = async (query: string, prefer = 'count=exact', api = server.admin) => {
      const { headers } = await api.call('GET', `${path}?${query}`, { headers: { Prefer: prefer } });
      return [headers.get('x-total-count'), headers.get('preference-applied')];
    };
    expect(await count('limit=1')).to.deep.equal(['5', 'count=exact']);
    expect(await count('limit=1', 'wait=5, Count="exact"; x=y')).to.deep.equal(['5', 'count=exact']);
    expect(await count('limit=1&name=web*&sort=name')).to.deep.equal(['3', 'count=exact']);
    expect(await count('tag=listed%3Dweb&powerState=Running')).to.deep.equal(['2', 'count=exact']);
    expect(await count('limit=1', 'count=exact', member.api)).to.deep.equal(['1', 'count=exact']);
    const stranger = await addPerson(server.app, 'list-stranger');
    expect(await count('limit=1', 'count=exact', stranger.api)).to.deep.equal(['0', 'count=exact']);
    for (const prefer of ['count=estimated', 'count', 'return="count=exact"', 'x; count=exact'])
      expect(await count('limit=1', prefer), prefer).to.deep.equal([null, null]);
    const plain = await server.admin.get(`${path}?limit=1`);
    expect(plain.headers.get('x-total-count')).to.equal(null);
    const head = await server.admin.call('HEAD', `${path}?limit=1`, { headers: { Prefer: 'count=exact' } });
    expect(head.headers.get('x-total-count')).to.equal('5');
  });

  it('keeps the total out of the cache of responses: it is there each time, and never unasked', async () => {
    const asked = () => server.admin.call('GET', `${path}?limit=2`, { headers: { Prefer: 'count=exact' } });
    const totals: (string | null)[] = [];
    for (let round = 0; round < 3; round += 1) {
      totals.push((await asked()).headers.get('x-total-count'));
      totals.push((await server.admin.get(`${path}?limit=2`)).headers.get('x-total-count'));
    }
    expect(totals).to.deep.equal(['5', null, '5', null, '5', null]);
  });
});
