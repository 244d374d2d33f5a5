/** Bearer tokens of OpenID Connect issuers. The attacks on them: token-attacks.test.ts. */
import { expect } from 'chai';
import { organizations } from '../../src/data/organization.js';
import { insert } from '../../src/data/store/port.js';
import { timestamp } from '../../src/model/common.js';
import type { Project } from '../../src/model/project.js';
import type { CurrentUser, User } from '../../src/model/user.js';
import { Api } from '../support/conform.js';
import { audience, realProvider, type RealProvider, TestIssuer } from '../support/oidc.js';
import { addPerson, addProject } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

/** The configuration names projects by their ids. */
const projectId = '0193a5c0-0000-7000-8000-0000000000a1';
const otherId = '0193a5c0-0000-7000-8000-0000000000a3';
const organizationId = '0193a5c0-0000-7000-8000-0000000000a2';

describe('tokens of a certified OpenID Connect provider', () => {
  let provider: RealProvider;
  let server: TestServer;

  before(async () => {
    provider = await realProvider();
    const oidc = [
      {
        issuer: provider.issuer,
        audience: [audience],
        grants: [{ group: 'operations', superUser: true }],
      },
    ];
    server = await startServer({ flags: { auth: { oidc } } });
  });
  after(async () => {
    await provider.close();
    await server.stop();
  });

  it('identify a user, who is created at first sight and is the same ever after', async () => {
    const first = Api.withKey(server.url, await provider.token('robot'));
    const { body } = await first.get<CurrentUser>('/api/v2/user');
    expect(body.metadata).to.include({ name: 'robot', createdBy: 'robot' });
    expect(body.status).to.deep.equal({ superUser: false, projects: [] });
    const again = Api.withKey(server.url, await provider.token('robot'));
    expect((await again.get<CurrentUser>('/api/v2/user')).body).to.deep.equal(body);
    const { body: known } = await server.admin.get<User>(`/api/v2/users/${body.metadata.id}`);
    expect(known.metadata.name).to.equal('robot');
  });

  it('bring the power of their groups with them', async () => {
    const api = Api.withKey(server.url, await provider.token('builder', ['operations']));
    expect((await api.get<CurrentUser>('/api/v2/user')).body.status.superUser).to.be.true;
    expect((await api.get<User[]>('/api/v2/users')).status).to.equal(200);
    const without = Api.withKey(server.url, await provider.token('builder'));
    expect((await without.get<CurrentUser>('/api/v2/user')).body.status.superUser).to.be.false;
    await without.refused('not_found', 'GET', '/api/v2/users');
  });

  it('are announced in the protected resource metadata (RFC 9728)', async () => {
    for (const path of ['oauth-protected-resource', 'openid-protected-resource']) {
      const { body } = await server.admin.get(`/.well-known/${path}`);
      expect(body).to.deep.include({ authorization_servers: [provider.issuer] });
    }
  });

  it('leave API keys as they are', async () => {
    const person = await addPerson(server.app, 'with-a-key');
    expect((await person.api.get<CurrentUser>('/api/v2/user')).body.metadata.name).to.equal('with-a-key');
  });
});

describe('tokens of an issuer', () => {
  let issuer: TestIssuer;
  let server: TestServer;

  before(async () => {
    issuer = await TestIssuer.start();
    const grants = [
      { group: 'ops', project: projectId, role: 'operator' },
      { group: 'bosses', project: projectId, role: 'admin' },
      { group: 'audit', organization: organizationId, role: 'reader' },
      { group: 'nowhere', project: '0193a5c0-0000-7000-8000-0000000000ff', role: 'admin' },
    ];
    const oidc = [
      {
        issuer: issuer.url,
        audience: ['another', audience],
        groups: 'realm.roles',
        username: 'nick',
        grants,
      },
    ];
    server = await startServer({ flags: { auth: { oidc } } });
    const { store } = server.app;
    const record = { name: 'granted-org', creationTime: timestamp(), createdBy: 'test' };
    await store.write([insert(organizations, organizationId, record)]);
    await addProject(server.app, { id: projectId, name: 'one', organizationId });
    await addProject(server.app, { id: otherId, name: 'two', organizationId });
    await addProject(server.app, { name: 'elsewhere' });
  });
  after(async () => {
    await issuer.close();
    await server.stop();
  });

  const as = async (sub: string, groups: readonly unknown[] = [], claims: object = {}) =>
    Api.withKey(server.url, await issuer.token({ sub, realm: { roles: groups }, ...claims }));
  const whoIs = async (api: Api) => (await api.get<CurrentUser>('/api/v2/user')).body;
  const projectsOf = async (api: Api) =>
    (await api.get<Project[]>('/api/v2/projects')).body.map(({ metadata }) => metadata.name);

  it('give roles in a project and in all of an organization for as long as they say so', async () => {
    const none = await as('walker');
    expect(await projectsOf(none)).to.deep.equal([]);
    await none.refused('not_found', 'GET', `/api/v2/projects/${projectId}`);
    const ops = await as('walker', ['ops', 'unknown', 7]);
    expect(await projectsOf(ops)).to.deep.equal(['one']);
    const made = await server.createInstance('by-token', { spec: { projectId } }, ops);
    expect(made.metadata.createdBy).to.equal('walker');
    const unnamed = await server.createInstance('by-token-too', {}, ops);
    expect(unnamed.metadata.projectId).to.equal(projectId);
    await ops.refused('forbidden', 'PATCH', `/api/v2/projects/${projectId}`, {
      body: { metadata: { description: 'x' } },
    });

    const audit = await as('walker', ['audit']);
    expect(await projectsOf(audit)).to.have.members(['one', 'two']);
    expect((await audit.get<unknown[]>('/api/v2/instances')).body).to.have.length(2);
    expect((await audit.get(`/api/v2/organizations/${organizationId}`)).status).to.equal(200);
    await audit.refused('forbidden', 'POST', '/api/v2/instances', {
      body: server.instanceBody('by-reader', { spec: { projectId: otherId } }),
    });
    const boss = await as('walker', ['audit', 'ops', 'bosses']);
    const patch = { metadata: { description: 'granted' } };
    expect((await boss.patch(`/api/v2/projects/${projectId}`, patch)).status).to.equal(200);
    // The same user without the groups.
    await none.refused('not_found', 'GET', `/api/v2/instances/${made.metadata.id}`);
    expect((await none.get<unknown[]>('/api/v2/instances')).body).to.deep.equal([]);
    expect(await projectsOf(await as('walker', ['nowhere']))).to.deep.equal([]);
  });

  it('get no list that was cached for the same user with other roles', async () => {
    const [with_, without] = [await as('lister', ['ops']), await as('lister')];
    for (let round = 0; round < 4; round += 1) {
      expect((await with_.get<unknown[]>('/api/v2/networks')).body).to.have.length(1);
      expect((await without.get<unknown[]>('/api/v2/networks')).body).to.have.length(0);
      expect(await projectsOf(with_)).to.deep.equal(['one']);
      expect(await projectsOf(without)).to.deep.equal([]);
    }
  });

  it('add to the stored roles of their user', async () => {
    const { metadata } = await whoIs(await as('member'));
    const project = await addProject(server.app, { name: 'stored' });
    await server.admin.post(`/api/v2/projects/${project.id}/members`, {
      userId: metadata.id,
      role: 'reader',
    });
    expect(await projectsOf(await as('member', ['ops']))).to.have.members(['one', 'stored']);
  });

  it('name the user by the configured claim, in the form of a user name', async () => {
    const user = await whoIs(await as('named', [], { nick: 'Bob.O’Hara@Example.com' }));
    expect(user.metadata.name).to.equal('bob-o-hara-example-com');
    const longest = await whoIs(await as('long', [], { nick: 'x'.repeat(200) }));
    expect(longest.metadata.name).to.equal('x'.repeat(63));
    const odd = await whoIs(await as('___', [], { nick: '!!!' }));
    expect(odd.metadata.name).to.equal('user');
    const renamed = await whoIs(await as('named', [], { nick: 'alice' }));
    expect(renamed).to.deep.equal(user);
  });

  it('do not take over the name of another user, of a superuser or of the site', async () => {
    await addPerson(server.app, 'alice');
    for (const [sub, nick] of [
      ['a', 'alice'],
      ['b', 'admin'],
      ['c', 'system'],
    ] as const) {
      const user = await whoIs(await as(sub, [], { nick }));
      expect(user.metadata.name).to.match(new RegExp(`^${nick}-[0-9a-f]{8}$`));
      expect(user.status.superUser).to.be.false;
    }
  });

  it('create their user once, however many arrive at first', async () => {
    const api = await as('crowd');
    const users = await Promise.all(Array.from({ length: 20 }, () => whoIs(api)));
    expect(new Set(users.map(({ metadata }) => metadata.id)).size).to.equal(1);
  });

  it('leave a record of the user’s creation in the audit trail', async () => {
    const { metadata } = await whoIs(await as('traced'));
    const { body } = await server.admin.get<{ action: string; user: { name: string } }[]>(
      `/api/v2/admin/events?resourceID=${metadata.id}`,
    );
    expect(body.map(({ action, user }) => [action, user.name])).to.deep.equal([['user.create', 'traced']]);
  });

  it('of an inactive user are refused from the next request on', async () => {
    const api = await as('fired', ['ops']);
    const { metadata } = await whoIs(api);
    const set = (active: boolean) => server.admin.patch(`/api/v2/users/${metadata.id}`, { spec: { active } });
    expect((await set(false)).status).to.equal(200);
    await api.refused('unauthorized', 'GET', '/api/v2/user');
    expect((await set(true)).status).to.equal(200);
    expect((await whoIs(api)).metadata.id).to.equal(metadata.id);
  });
});

describe('tokens of an issuer whose users must exist', () => {
  let issuer: TestIssuer;
  let server: TestServer;
  before(async () => {
    issuer = await TestIssuer.start();
    const oidc = [{ issuer: issuer.url, audience: [audience], users: 'existing' }];
    server = await startServer({ flags: { auth: { oidc } } });
  });
  after(async () => {
    await issuer.close();
    await server.stop();
  });
  const as = async (sub: string, name: string) =>
    Api.withKey(server.url, await issuer.token({ sub, preferred_username: name }));

  it('identify the user with exactly their name, and bind them to their subject', async () => {
    const person = await addPerson(server.app, 'existing');
    await (await as('nobody', 'absent')).refused('unauthorized', 'GET', '/api/v2/user');
    await (await as('nobody', 'Existing')).refused('unauthorized', 'GET', '/api/v2/user');
    const { body } = await (await as('first', 'existing')).get<CurrentUser>('/api/v2/user');
    expect(body.metadata.id).to.equal(person.id);
    // Another subject with the same name is somebody else.
    await (await as('second', 'existing')).refused('unauthorized', 'GET', '/api/v2/user');
    const renamed = await (await as('first', 'whatever')).get<CurrentUser>('/api/v2/user');
    expect(renamed.body.metadata.id).to.equal(person.id);
  });

  it('make nobody a superuser by name', async () => {
    await (await as('evil', 'admin')).refused('unauthorized', 'GET', '/api/v2/user');
  });
});
