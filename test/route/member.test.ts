import { expect } from 'chai';
import type { Member } from '../../src/model/member.js';
import type { Project } from '../../src/model/project.js';
import { parsePaginationHeader } from '../../src/route/pipeline/pagination.js';
import type { Reply } from '../support/conform.js';
import { absentId } from '../support/fuzz-seed.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('/api/v2/projects/{projectID}/members', () => {
  let server: TestServer;
  let admin: Person;
  let project: SeededProject;
  let path: string;
  let count = 0;

  const newcomer = () => addPerson(server.app, `newcomer-${(count += 1)}`);
  const roles = async () =>
    Object.fromEntries((await admin.api.get<Member[]>(path)).body.map(({ userId, role }) => [userId, role]));

  before(async () => {
    server = await startServer();
    admin = await addPerson(server.app, 'the-admin');
    project = await addProject(server.app, { name: 'team', admins: [admin] });
    path = `/api/v2/projects/${project.id}/members`;
  });
  after(() => server.stop());

  it('are added in a role, changed and removed by admins, with effect on the next request', async () => {
    const person = await newcomer();
    const one = `${path}/${person.id}`;
    const instance = await server.running('seen', {}, admin.api);
    const see = `/api/v2/instances/${instance.metadata.id}`;
    await person.api.refused('not_found', 'GET', see);

    const added = await admin.api.post<Member>(path, { userId: person.id, role: 'reader' });
    expect(added.status).to.equal(201);
    expect(added.body).to.deep.equal({ userId: person.id, role: 'reader' });
    expect(added.headers.get('location')).to.equal(server.url + one);
    expect((await person.api.get(see)).status).to.equal(200);
    expect((await person.api.get<Member[]>(path)).body).to.deep.equal([
      { userId: admin.id, role: 'admin' },
      { userId: person.id, role: 'reader' },
    ]);
    const shown = await person.api.get<Project>(`/api/v2/projects/${project.id}`);
    expect(shown.body.spec).to.deep.include({ admins: [admin.id], members: [], readers: [person.id] });
    await person.api.refused('forbidden', 'POST', `${see}/stop`);
    await person.api.refused('forbidden', 'GET', `${see}/consoleoutput`);

    expect((await admin.api.put<Member>(one, { role: 'operator' })).body.role).to.equal('operator');
    expect((await person.api.get(`${see}/consoleoutput`)).status).to.equal(200);
    const stop = await person.api.post(`${see}/stop`);
    expect(stop.status).to.equal(202);
    await server.ended(stop.headers.get('location'), person.api);
    await person.api.refused('forbidden', 'PUT', one, { body: { role: 'admin' } });
    await person.api.refused('forbidden', 'POST', path, { body: { userId: absentId, role: 'reader' } });

    await admin.api.put(one, { role: 'admin' });
    expect((await person.api.put(one, { role: 'admin' })).status).to.equal(200);
    expect((await admin.api.delete(one)).status).to.equal(204);
    await person.api.refused('not_found', 'GET', see);
    await person.api.refused('not_found', 'GET', path);
    await admin.api.refused('not_found', 'DELETE', one);
    await admin.api.refused('not_found', 'PUT', one, { body: { role: 'reader' } });
    expect(await roles()).to.deep.equal({ [admin.id]: 'admin' });
  });

  it('keep one admin: the last one is neither removed nor changed', async () => {
    const one = `${path}/${admin.id}`;
    await admin.api.refused('in_use', 'DELETE', one);
    await server.admin.refused('in_use', 'PUT', one, { body: { role: 'reader' } });
    const second = await newcomer();
    await admin.api.post(path, { userId: second.id, role: 'admin' });
    expect((await second.api.put(one, { role: 'operator' })).status).to.equal(200);
    await admin.api.refused('forbidden', 'PUT', one, { body: { role: 'admin' } });
    await second.api.put(one, { role: 'admin' });
    expect((await second.api.delete(`${path}/${second.id}`)).status).to.equal(204);
  });

  it('are in a project once, exist, and have a role that there is', async () => {
    const person = await newcomer();
    await admin.api.post(path, { userId: person.id, role: 'reader' });
    const twice = await admin.api.refused('already_exists', 'POST', path, {
      body: { userId: person.id, role: 'admin' },
    });
    expect(twice.body.errors?.[0]?.pointer).to.equal('/userId');
    const nobody = await admin.api.refused('not_found', 'POST', path, {
      body: { userId: absentId, role: 'reader' },
    });
    expect(nobody.body.errors?.[0]?.pointer).to.equal('/userId');
    for (const body of [
      {},
      { userId: person.id },
      { userId: person.id, role: 'owner' },
      { userId: 'x', role: 'reader' },
    ])
      await admin.api.refused('invalid_body', 'POST', path, { body });
    const stranger = await newcomer();
    for (const id of [project.id, absentId])
      await stranger.api.refused('not_found', 'POST', `/api/v2/projects/${id}/members`, {
        body: { userId: stranger.id, role: 'admin' },
      });
    expect((await roles())[stranger.id]).to.be.undefined;
  });

  it('are added once with an Idempotency-Key', async () => {
    const person = await newcomer();
    const body = { userId: person.id, role: 'reader' };
    const headers = { 'Idempotency-Key': '"member"' };
    for (const replayed of [null, 'true']) {
      const reply = await admin.api.post<Member>(path, body, { headers });
      expect([reply.status, reply.body]).to.deep.equal([201, body]);
      expect(reply.headers.get('idempotency-replayed')).to.equal(replayed);
    }
  });

  it('that are added at once are all in it', async () => {
    const people = await Promise.all(Array.from({ length: 10 }, newcomer));
    const replies = await Promise.all(
      people.map(({ id }) => admin.api.post(path, { userId: id, role: 'operator' })),
    );
    expect(replies.map(({ status }) => status)).to.deep.equal(people.map(() => 201));
    const all = await roles();
    for (const { id } of people) expect(all[id]).to.equal('operator');
  });

  it('are listed page by page, and by role', async () => {
    const people = await Promise.all([1, 2, 3].map(newcomer));
    const crowded = await addProject(server.app, { name: 'crowd', admins: [admin], readers: people });
    const list = `/api/v2/projects/${crowded.id}/members`;
    const all = (await admin.api.get<Member[]>(list)).body;
    expect(all.map(({ role }) => role)).to.deep.equal(['admin', 'reader', 'reader', 'reader']);
    const seen: Member[] = [];
    for (let at: string | undefined = `${list}?limit=2`; at !== undefined;) {
      const page: Reply<Member[]> = await admin.api.get(at);
      seen.push(...page.body);
      at = parsePaginationHeader(page.headers.get('link')).next?.url.slice(server.url.length);
    }
    expect(seen).to.deep.equal(all);
    const readers = await admin.api.get<Member[]>(`${list}?role=reader&descending=true`);
    expect(readers.body).to.deep.equal(all.slice(1).reverse());
    await admin.api.refused('invalid_parameter', 'GET', `${list}?role=king`);
  });

  it('are owners as admins: listed, added, promoted and removed as such', async () => {
    const [one, two] = [await newcomer(), await newcomer()];
    const owned = await addProject(server.app, { name: 'owned', admins: [admin], readers: [one] });
    const owners = `/api/v2/projects/${owned.id}/owners`;
    await one.api.refused('forbidden', 'POST', owners, { body: { userId: one.id } });
    for (const { id } of [one, two]) {
      const reply = await admin.api.post<Member>(owners, { userId: id });
      expect(reply.status, reply.text).to.equal(201);
      expect(reply.body).to.deep.equal({ userId: id, role: 'admin' });
    }
    await admin.api.refused('already_exists', 'POST', owners, { body: { userId: one.id } });
    await admin.api.refused('not_found', 'POST', owners, { body: { userId: absentId } });
    const listed = (await one.api.get<Member[]>(owners)).body.map(({ userId }) => userId);
    expect(listed).to.have.members([admin.id, one.id, two.id]);
    await admin.api.put(`/api/v2/projects/${owned.id}/members/${two.id}`, { role: 'reader' });
    await admin.api.refused('not_found', 'DELETE', `${owners}/${two.id}`);
    expect((await admin.api.delete(`${owners}/${one.id}`)).status).to.equal(204);
    await admin.api.refused('in_use', 'DELETE', `${owners}/${admin.id}`);
  });
});
