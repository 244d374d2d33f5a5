import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import type { CurrentUser, User } from '../../src/model/user.js';
import { Api } from '../support/conform.js';
import { absentId } from '../support/fuzz-seed.js';
import { addPerson, addProject } from '../support/people.js';
import { adminKey, messageOf, startServer, type TestServer } from '../support/server.js';

const path = '/api/v2/users';

describe('/api/v2/users', () => {
  let server: TestServer;

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());

  it('are created by superusers, listed page by page, and read one by one', async () => {
    const { status, body, headers } = await server.admin.post<User>(path, {
      metadata: { name: 'ada', description: 'Counts' },
    });
    expect(status).to.equal(201);
    const { id, creationTime } = body.metadata;
    expect(headers.get('location')).to.equal(`${server.url}${path}/${id}`);
    expect(body).to.deep.equal({
      metadata: { id, name: 'ada', description: 'Counts', creationTime, createdBy: 'admin' },
      spec: { active: true },
    });
    const sleeper = await server.admin.post<User>(path, {
      metadata: { name: 'bo' },
      spec: { active: false },
    });
    expect(sleeper.body.spec.active).to.be.false;
    const one = await server.admin.get<User>(`${path}/${id}`);
    expect(one.body).to.deep.equal(body);
    expect(one.headers.get('etag')).to.equal('"1"');
    const list = await server.admin.get<User[]>(`${path}?limit=2`);
    expect(list.body.map(({ metadata }) => metadata.name)).to.deep.equal(['admin', 'ada']);
    expect(list.headers.get('link')).to.include('rel="next"');
  });

  it('refuse a name that is taken, reserved or no name, and members that are not theirs to set', async () => {
    await server.admin.post(path, { metadata: { name: 'twice' } });
    const taken = await server.admin.refused('name_taken', 'POST', path, {
      body: { metadata: { name: 'twice' } },
    });
    expect(taken.body.errors?.[0]?.pointer).to.equal('/metadata/name');
    for (const name of ['system', 'schedule'])
      await server.admin.refused('unprocessable', 'POST', path, { body: { metadata: { name } } });
    for (const body of [
      {},
      { metadata: { name: 'Not A Name' } },
      { metadata: { name: 'x', id: absentId } },
      { metadata: { name: 'x', createdBy: 'me' } },
      { metadata: { name: 'x' }, spec: { active: true, superUser: true } },
      { metadata: { name: 'x' }, superUser: true },
      { metadata: { name: 'x' }, spec: { active: 'yes' } },
    ])
      await server.admin.refused('invalid_body', 'POST', path, { body });
    await server.admin.refused('not_found', 'GET', `${path}/${absentId}`);
    await server.admin.refused('invalid_parameter', 'GET', `${path}/not-an-id`);
  });

  it('are deactivated and reactivated by a patch: their key is refused at once, and works again', async () => {
    const person = await addPerson(server.app, 'leaving');
    const one = `${path}/${person.id}`;
    expect((await person.api.get('/api/version')).status).to.equal(200);
    const reply = await server.admin.patch<User>(one, {
      spec: { active: false },
      metadata: { description: 'Left' },
    });
    expect(reply.status).to.equal(200);
    expect(reply.body.spec.active).to.be.false;
    expect(reply.body.metadata).to.include({ description: 'Left', modifiedBy: 'admin' });
    await person.api.refused('unauthorized', 'GET', '/api/version');
    await server.admin.patch(one, { spec: { active: true }, metadata: { description: null } });
    expect((await person.api.get('/api/version')).status).to.equal(200);
    const { body, headers } = await server.admin.get<User>(one);
    expect(body.metadata).not.to.have.property('description');
    // A change that changes nothing keeps the entity tag.
    const same = await server.admin.patch(one, { spec: { active: true } });
    expect(same.headers.get('etag')).to.equal(headers.get('etag'));
    const stale = { body: { spec: { active: false } }, headers: { 'If-Match': '"1"' } };
    await server.admin.refused('precondition_failed', 'PATCH', one, stale);
    await server.admin.refused('invalid_body', 'PATCH', one, { body: { metadata: { name: 'other' } } });
    await server.admin.refused('not_found', 'PATCH', `${path}/${absentId}`, { body: {} });
  });

  it('cannot deactivate themselves', async () => {
    const { body } = await server.admin.get<CurrentUser>('/api/v2/user');
    const self = `${path}/${body.metadata.id}`;
    const reply = await server.admin.refused('unprocessable', 'PATCH', self, {
      body: { spec: { active: false } },
    });
    expect(reply.body.errors?.[0]?.pointer).to.equal('/spec/active');
    expect(messageOf(reply)).to.include('another superuser');
  });

  it('see themselves at /user, and no other user', async () => {
    const one = await addPerson(server.app, 'one');
    const other = await addPerson(server.app, 'other');
    const { body } = await one.api.get<CurrentUser>('/api/v2/user');
    expect(body.metadata).to.include({ id: one.id, name: 'one' });
    expect(body.status).to.deep.equal({ superUser: false, projects: [] });
    expect((await server.admin.get<CurrentUser>('/api/v2/user')).body.status.superUser).to.be.true;
    expect((await one.api.get<User>(`${path}/${one.id}`)).body.metadata.name).to.equal('one');
    const hidden = await one.api.refused('not_found', 'GET', `${path}/${other.id}`);
    const absent = await one.api.refused('not_found', 'GET', `${path}/${absentId}`);
    expect(hidden.body.message).to.equal(absent.body.message);
    await one.api.refused('not_found', 'GET', path);
    await one.api.refused('not_found', 'POST', path, { body: { metadata: { name: 'friend' } } });
    await one.api.refused('not_found', 'PATCH', `${path}/${one.id}`, { body: { spec: { active: false } } });
    await new Api(server.url).refused('unauthorized', 'GET', '/api/v2/user');
  });

  it('list the instances that they have created, in projects that the caller may see', async () => {
    const maker = await addPerson(server.app, 'maker');
    const mate = await addPerson(server.app, 'mate');
    await addProject(server.app, { name: 'making', members: [maker, mate] });
    const made = [];
    for (const name of ['m-one', 'm-two'])
      made.push((await server.createInstance(name, {}, maker.api)).metadata.id);
    await server.createInstance('of-the-mate', {}, mate.api);
    const ids = async (api: Api, query = '') =>
      (await api.get<Instance[]>(`${path}/${maker.id}/instances${query}`)).body.map(
        ({ metadata }) => metadata.id,
      );
    expect(await ids(maker.api)).to.deep.equal(made);
    expect(await ids(server.admin)).to.deep.equal(made);
    expect(await ids(maker.api, '?sort=name&limit=1')).to.deep.equal(made.slice(0, 1));
    await mate.api.refused('not_found', 'GET', `${path}/${maker.id}/instances`);
    await server.admin.refused('not_found', 'GET', `${path}/${absentId}/instances`);
  });

  it('are created once with an Idempotency-Key', async () => {
    const headers = { 'Idempotency-Key': '"one-user"' };
    const first = await server.admin.post<User>(path, { metadata: { name: 'once' } }, { headers });
    const again = await server.admin.post<User>(path, { metadata: { name: 'once' } }, { headers });
    expect(again.status).to.equal(201);
    expect(again.body).to.deep.equal(first.body);
    expect(again.headers.get('idempotency-replayed')).to.equal('true');
    expect(again.text).not.to.include(adminKey);
  });
});
