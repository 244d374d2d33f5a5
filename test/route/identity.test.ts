import { expect } from 'chai';
import { remove, replace } from '../../src/data/store/port.js';
import { apiKeys, users } from '../../src/data/user.js';
import type { Instance } from '../../src/model/instance.js';
import type { Project } from '../../src/model/project.js';
import { Api, type ErrorAnswer, type Reply } from '../support/conform.js';
import { failureOf } from '../support/eventually.js';
import { addPerson, addProject, type Person, type SeededProject } from '../support/people.js';
import { adminKey, startServer, type TestServer } from '../support/server.js';

const absent = '0193a5c0-0000-7000-8000-000000000001';

/** All of an answer that could tell two refusals apart, without what differs in any two answers. */
function essence(reply: Reply): unknown {
  const ownToEach = ['x-request-id', 'date', 'connection', 'keep-alive', 'ratelimit'];
  const headers = [...reply.headers].filter(([name]) => !ownToEach.includes(name));
  const { requestId } = reply.body as ErrorAnswer;
  return { status: reply.status, headers, text: reply.text.replaceAll(requestId, '') };
}

describe('who is calling', () => {
  let server: TestServer;
  let anonymous: Api;
  let alice: Person;
  let sleeper: Person;

  before(async () => {
    server = await startServer();
    anonymous = new Api(server.url);
    alice = await addPerson(server.app, 'alice');
    sleeper = await addPerson(server.app, 'sleeper', { active: false });
  });
  after(() => server.stop());

  const ask = (headers: Record<string, string>) =>
    anonymous.call<ErrorAnswer>('GET', '/api/version', { headers });

  it('is looked up no longer than the request lasts', async () => {
    const { users: data } = server.app.connector;
    const reason = new Error('left');
    const looking = async () => data.identify('an-unknown-key', undefined, AbortSignal.abort(reason));
    expect(await failureOf(looking())).to.equal(reason);
    expect(await data.identify('an-unknown-key')).to.be.undefined;
  });

  it('without a credential is 401 with the challenge and no error in it, on every route that needs a user', async () => {
    const routes = [
      ['GET', '/api/version'],
      ['GET', '/api/v2/instances'],
      ['POST', '/api/v2/instances'],
      ['GET', `/api/v2/instances/${absent}`],
      ['PUT', `/api/v2/instances/${absent}`],
      ['DELETE', `/api/v2/instances/${absent}`],
      ['POST', `/api/v2/instances/${absent}/start`],
      ['POST', `/api/v2/instances/${absent}/stop`],
      ['POST', `/api/v2/instances/${absent}/reboot`],
      ['GET', `/api/v2/instances/${absent}/consoleoutput`],
      ['GET', '/api/v2/tasks'],
      ['GET', `/api/v2/tasks/${absent}`],
      ['GET', '/api/v2/projects'],
      ['GET', '/api/v2/networks'],
      ['GET', `/api/v1/organizations/${absent}/regions`],
      ['GET', `/api/v1/organizations/${absent}/regions/${absent}/flavors`],
      ['GET', `/api/v1/organizations/${absent}/regions/${absent}/images`],
    ] as const;
    for (const [method, path] of routes) {
      const reply = await anonymous.refused('unauthorized', method, path);
      expect(reply.headers.get('www-authenticate'), path).to.match(/^Bearer realm="copse"(?!.*error=)/);
    }
  });

  it('is asked before anything is said about the request: id, query, body and method of a route', async () => {
    await anonymous.refused('unauthorized', 'GET', '/api/v2/instances/not-a-uuid');
    await anonymous.refused('unauthorized', 'GET', '/api/v2/instances?unknown=1');
    await anonymous.refused('unauthorized', 'POST', '/api/v2/instances', { body: { wrong: true } });
  });

  it('is known by a bearer key, the scheme in any case, or by name and key', async () => {
    const ways: Record<string, string>[] = [
      { Authorization: `Bearer ${alice.key}` },
      { Authorization: `bearer ${alice.key}` },
      { Authorization: `BEARER   ${alice.key}` },
      { 'Api-User': 'alice', 'Api-Key': alice.key },
      { 'api-user': 'alice', 'API-KEY': alice.key },
      { Authorization: `Bearer ${alice.key}`, 'Api-User': 'alice' },
    ];
    for (const headers of ways) expect((await ask(headers)).status, JSON.stringify(headers)).to.equal(200);
  });

  it('learns nothing from a refusal: wrong key, unknown or inactive user and somebody else’s key look alike', async () => {
    const wrong = `copse_${'A'.repeat(43)}`;
    const named = [
      { 'Api-User': 'alice', 'Api-Key': wrong },
      { 'Api-User': 'nobody', 'Api-Key': wrong },
      { 'Api-User': 'nobody', 'Api-Key': alice.key },
      { 'Api-User': 'admin', 'Api-Key': alice.key },
      { 'Api-User': 'alice', 'Api-Key': adminKey },
      { 'Api-User': 'sleeper', 'Api-Key': sleeper.key },
      { 'Api-User': 'sleeper', 'Api-Key': wrong },
      { 'Api-User': 'ALICE', 'Api-Key': alice.key },
      { 'Api-User': '', 'Api-Key': alice.key },
      { 'Api-Key': alice.key },
      { Authorization: `Bearer ${wrong}` },
      { Authorization: `Bearer ${sleeper.key}` },
      { Authorization: 'Bearer' },
      { Authorization: 'Bearer ' },
      { Authorization: `Bearer ${alice.key} ${alice.key}` },
      { Authorization: `Bearer ${alice.key.toLowerCase()}` },
      { Authorization: `Bearer ${'x'.repeat(5000)}` },
      { Authorization: `Basic ${Buffer.from(`alice:${alice.key}`).toString('base64')}` },
      { Authorization: alice.key },
    ];
    const essences = new Set<string>();
    for (const headers of named) {
      const reply = await ask(headers);
      expect(reply.status, JSON.stringify(headers)).to.equal(401);
      expect(reply.headers.get('www-authenticate')).to.match(/^Bearer realm="copse", error="invalid_token"/);
      essences.add(JSON.stringify(essence(reply)));
    }
    expect([...essences]).to.have.length(1);
  });

  it('may not send two kinds of credential at once, right or wrong', async () => {
    for (const key of [alice.key, 'wrong']) {
      const headers = { Authorization: `Bearer ${alice.key}`, 'Api-User': 'alice', 'Api-Key': key };
      await anonymous.refused('invalid_parameter', 'GET', '/api/version', { headers });
    }
  });

  it('is not held against anybody where no user is needed', async () => {
    for (const path of ['/health', '/openapi.json']) {
      expect((await anonymous.get(path, { headers: { Authorization: 'Bearer wrong' } })).status).to.equal(
        200,
      );
    }
  });

  it('loses its key with the next request when the key is removed or the user becomes inactive', async () => {
    const { store } = server.app;
    for (const way of ['removed', 'inactive']) {
      const person = await addPerson(server.app, way);
      expect((await person.api.get('/api/version')).status).to.equal(200);
      const key = await store.find(apiKeys, 'name', [person.id, 'test']);
      const user = await store.get(users, person.id);
      if (key === undefined || user === undefined) throw new Error('the person is not there');
      await store.write([
        way === 'removed' ? remove(apiKeys, key) : replace(users, user, { ...user.value, active: false }),
      ]);
      await person.api.refused('unauthorized', 'GET', '/api/version');
    }
  });

  it('is stored as a hash only', async () => {
    const stored = JSON.stringify(await server.app.store.page(apiKeys, { order: 'id', limit: 100 }));
    expect(stored).to.include(alice.id);
    for (const key of [alice.key, adminKey]) expect(stored).not.to.include(key);
  });
});

describe('who may see and do what', () => {
  let server: TestServer;
  let member: Person;
  let boss: Person;
  let stranger: Person;
  let both: Person;
  let red: SeededProject;
  let blue: SeededProject;
  let mine: Instance;

  const names = async (who: Person, query = '') => {
    const { body } = await who.api.get<Instance[]>(`/api/v2/instances${query}`);
    return body.map((instance) => instance.metadata.name);
  };

  before(async () => {
    server = await startServer();
    member = await addPerson(server.app, 'member');
    boss = await addPerson(server.app, 'boss');
    stranger = await addPerson(server.app, 'stranger');
    both = await addPerson(server.app, 'both');
    red = await addProject(server.app, { name: 'red', members: [member, both], admins: [boss] });
    blue = await addProject(server.app, { name: 'blue', members: [both] });
    mine = await server.running('mine', {}, member.api);
    await server.running('blue-one', { spec: { projectId: blue.id } }, both.api);
    await server.running('default-one');
  });
  after(() => server.stop());

  it('a stranger finds another’s instance and task exactly as absent as one that does not exist', async () => {
    const tasks = await member.api.get<{ id: string }[]>(`/api/v2/tasks?subjectID=${mine.metadata.id}`);
    const body = { metadata: { name: 'mine' }, spec: mine.spec };
    const calls: [string, string, string, object?][] = [
      ['GET', '/api/v2/instances/{id}', mine.metadata.id],
      ['PUT', '/api/v2/instances/{id}', mine.metadata.id, body],
      ['DELETE', '/api/v2/instances/{id}', mine.metadata.id],
      ['POST', '/api/v2/instances/{id}/start', mine.metadata.id],
      ['POST', '/api/v2/instances/{id}/stop', mine.metadata.id],
      ['POST', '/api/v2/instances/{id}/reboot', mine.metadata.id],
      ['GET', '/api/v2/instances/{id}/consoleoutput', mine.metadata.id],
      ['GET', '/api/v2/tasks/{id}', tasks.body[0]?.id ?? ''],
    ];
    for (const [method, template, id, sent] of calls) {
      const options = sent === undefined ? {} : { body: sent };
      const hidden = await stranger.api.call(method, template.replace('{id}', id), options);
      const none = await stranger.api.call(method, template.replace('{id}', absent), options);
      expect(hidden.status, `${method} ${template}`).to.equal(404);
      expect(essence(hidden), `${method} ${template}`).to.deep.equal(essence(none));
    }
    expect((await member.api.get<Instance>(`/api/v2/instances/${mine.metadata.id}`)).body).to.deep.equal(
      mine,
    );
  });

  it('is told apart by nothing in a stranger’s bad request either', async () => {
    const wrong = { body: { nonsense: true } };
    const hidden = await stranger.api.call('PUT', `/api/v2/instances/${mine.metadata.id}?x=1`, wrong);
    const none = await stranger.api.call('PUT', `/api/v2/instances/${absent}?x=1`, wrong);
    expect(essence(hidden)).to.deep.equal(essence(none));
  });

  it('a member and an admin of the project may do all with its instances', async () => {
    for (const who of [member, boss]) {
      const { status } = await who.api.get(`/api/v2/instances/${mine.metadata.id}`);
      expect(status).to.equal(200);
      const reply = await who.api.post(`/api/v2/instances/${mine.metadata.id}/reboot`);
      expect(reply.status).to.equal(202);
      await server.ended(reply.headers.get('location'), who.api);
    }
  });

  it('a list holds the caller’s projects only, whatever the filters ask for', async () => {
    expect(await names(member)).to.deep.equal(['mine']);
    expect(await names(both)).to.deep.equal(['mine', 'blue-one']);
    expect(await names(stranger)).to.deep.equal([]);
    expect(await names(member, `?projectID=${blue.id}`)).to.deep.equal([]);
    expect(await names(member, `?projectID=${blue.id}&projectID=${red.id}`)).to.deep.equal(['mine']);
    expect(await names(member, `?organizationID=${server.catalog.organizationId}`)).to.deep.equal([]);
    expect(await names(both, `?projectID=${blue.id}`)).to.deep.equal(['blue-one']);
  });

  it('a member of one project need not name it; one of two must, and is told so', async () => {
    const reply = await both.api.refused('invalid_body', 'POST', '/api/v2/instances', {
      body: server.instanceBody('which'),
    });
    expect(reply.body.message).to.include('2 projects');
    expect(reply.body.errors?.[0]?.pointer).to.equal('/spec/projectId');
    const named = await server.createInstance('named', { spec: { projectId: blue.id } }, both.api);
    expect(named.metadata).to.include({
      projectId: blue.id,
      organizationId: blue.organizationId,
      createdBy: 'both',
    });
  });

  it('a user of no project is told so, and one of another project finds no such project', async () => {
    const reply = await stranger.api.refused('invalid_body', 'POST', '/api/v2/instances', {
      body: server.instanceBody('none'),
    });
    expect(reply.body.message).to.include('any project');
    const body = server.instanceBody('theirs', { spec: { projectId: red.id } });
    const hidden = await stranger.api.refused('not_found', 'POST', '/api/v2/instances', { body });
    const none = await stranger.api.refused('not_found', 'POST', '/api/v2/instances', {
      body: server.instanceBody('theirs', { spec: { projectId: absent } }),
    });
    expect(essence(hidden)).to.deep.equal(essence(none));
  });

  it('a project and an organization that do not belong together are not found', async () => {
    const body = server.instanceBody('mixed', {
      spec: { projectId: blue.id, organizationId: red.organizationId },
    });
    await both.api.refused('not_found', 'POST', '/api/v2/instances', { body });
  });
});

describe('superusers', () => {
  it('are those whom the settings name, read at each request', async () => {
    const server = await startServer({ flags: { auth: { superUsers: ['admin', 'root'] } } });
    try {
      const [root, other] = [await addPerson(server.app, 'root'), await addPerson(server.app, 'other')];
      const seen = async ({ api }: Person) => (await api.get<Project[]>('/api/v2/projects')).body.length;
      const name = (superUsers: string[]) =>
        server.admin.patch('/api/v2/admin/settings', { superUsers }).then(({ status }) => status);
      expect(await Promise.all([seen(root), seen(other)])).to.deep.equal([1, 0]);
      expect(await name(['other'])).to.equal(200);
      expect(await Promise.all([seen(root), seen(other)])).to.deep.equal([1, 1]);
      expect(await name([])).to.equal(200);
      expect(await Promise.all([seen(root), seen(other)])).to.deep.equal([1, 0]);
    } finally {
      await server.stop();
    }
  });

  it('are nobody when the list is empty, and the log says so', async () => {
    const server = await startServer({ flags: { auth: { superUsers: [] } } });
    try {
      await addProject(server.app, { name: 'not-mine' });
      const { body } = await server.admin.get<Project[]>('/api/v2/projects');
      expect(body.map((project) => project.metadata.name)).to.deep.equal(['default']);
      expect(
        server.log.entries.filter(({ level }) => level === 'warn').map(({ message }) => message),
      ).to.include('auth.superUsers is empty: there are no superusers');
    } finally {
      await server.stop();
    }
  });

  it('are all with everyoneIsSuperUser, which is off by default and logged loudly', async () => {
    const server = await startServer({ flags: { auth: { everyoneIsSuperUser: true } } });
    try {
      const person = await addPerson(server.app, 'anybody');
      await server.running('theirs');
      expect((await person.api.get<Instance[]>('/api/v2/instances')).body).to.have.length(1);
      expect(
        server.log.entries.some(
          ({ level, message }) => level === 'warn' && message.includes('everyoneIsSuperUser'),
        ),
      ).to.be.true;
    } finally {
      await server.stop();
    }
  });
});
