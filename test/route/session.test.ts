/** Sessions of browsers: sign-in, the cookie, what it may do, and how it ends. */
import { expect } from 'chai';
import { sessions } from '../../src/data/session.js';
import { replace } from '../../src/data/store/port.js';
import { timestamp } from '../../src/model/common.js';
import type { NewApiKey } from '../../src/model/api-key.js';
import type { Session } from '../../src/model/session.js';
import type { CurrentUser } from '../../src/model/user.js';
import { Api, checkedFetch } from '../support/conform.js';
import { eventually } from '../support/eventually.js';
import { cookieOf, fromPage, page } from '../support/page.js';
import { addPerson, addProject, type Person } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

async function signedIn(server: TestServer, { api }: Pick<Person, 'api'>) {
  const reply = await api.post<Session>('/api/v2/signin');
  expect(reply.status, reply.text).to.equal(200);
  const cookie = cookieOf(reply);
  return { reply, cookie, id: reply.body.metadata.id, api: page(server.url, cookie) };
}

describe('sessions', () => {
  let server: TestServer;
  let alice: Person;
  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0, failuresPerAddress: 0 } } });
    alice = await addPerson(server.app, 'alice');
  });
  after(() => server.stop());

  const me = (api: Api) => api.get<CurrentUser>('/api/v2/user');
  const list = async (person: Person) =>
    (await person.api.get<Session[]>(`/api/v2/users/${person.id}/sessions`)).body.map(
      ({ metadata }) => metadata.id,
    );

  it('begin with a key in each of its forms, and with nothing else', async () => {
    const basic = `Basic ${Buffer.from(`alice:${alice.key}`).toString('base64')}`;
    for (const headers of [
      { Authorization: `Bearer ${alice.key}` },
      { Authorization: basic },
      { 'Api-User': 'alice', 'Api-Key': alice.key },
    ]) {
      const reply = await new Api(server.url, headers).post<Session>('/api/v2/signin');
      expect(reply.status, reply.text).to.equal(200);
      expect(reply.body.metadata).to.include({ userId: alice.id, keyId: alice.keyId });
      const { body } = await me(page(server.url, cookieOf(reply)));
      expect(body.metadata.id).to.equal(alice.id);
    }
    for (const headers of [
      {},
      { Authorization: `Basic ${Buffer.from(`bob:${alice.key}`).toString('base64')}` },
      { Authorization: `Basic ${Buffer.from('alice:wrong').toString('base64')}` },
      { Authorization: `Basic ${Buffer.from('alice').toString('base64')}` },
      { Authorization: 'Basic' },
      { Authorization: 'Basic ????' },
      { Authorization: 'Bearer wrong' },
    ])
      await new Api(server.url, headers).refused('unauthorized', 'POST', '/api/v2/signin');
    // Basic is for the sign-in only.
    await new Api(server.url, { Authorization: basic }).refused('unauthorized', 'GET', '/api/v2/user');
  });

  it('have a cookie that scripts and other sites cannot use', async () => {
    const { reply } = await signedIn(server, alice);
    expect(reply.headers.get('set-cookie')).to.match(
      /^copse_session=[A-Za-z0-9_-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/,
    );
    expect(reply.headers.get('cache-control')).to.equal('no-store');
    expect(reply.text).not.to.include(cookieOf(reply).split('=')[1]);
  });

  it('are no other than the user with the key, with what both may do', async () => {
    const project = await addProject(server.app, { name: 'of-session', members: [alice] });
    const { api } = await signedIn(server, alice);
    const made = await server.createInstance('by-page', {}, api);
    expect(made.metadata).to.include({ createdBy: 'alice', projectId: project.id });
    await api.refused('forbidden', 'PATCH', `/api/v2/projects/${project.id}`, {
      body: { metadata: { description: 'x' } },
    });
    await api.refused('not_found', 'GET', '/api/v2/users');
    const admin = await signedIn(server, { api: server.admin });
    expect((await admin.api.get('/api/v2/users')).status).to.equal(200);
  });

  it('have the limits of their key', async () => {
    const [mine, other] = [
      await addProject(server.app, { name: 'mine' }),
      await addProject(server.app, { name: 'other' }),
    ];
    const { body: admin } = await me(server.admin);
    const { body } = await server.admin.post<NewApiKey>(`/api/v2/users/${admin.metadata.id}/apikeys`, {
      metadata: { name: 'limited' },
      spec: { role: 'reader', projectIds: [mine.id] },
    });
    const { api } = await signedIn(server, { api: Api.withKey(server.url, body.key) });
    const all = await signedIn(server, { api: server.admin });
    for (let round = 0; round < 3; round += 1) {
      expect((await api.get<unknown[]>('/api/v2/projects')).body).to.have.length(1);
      expect((await all.api.get<unknown[]>('/api/v2/projects')).body).to.have.length.above(2);
    }
    expect((await api.get(`/api/v2/projects/${mine.id}`)).status).to.equal(200);
    await api.refused('not_found', 'GET', `/api/v2/projects/${other.id}`);
    await api.refused('forbidden', 'PATCH', `/api/v2/projects/${mine.id}`, {
      body: { metadata: { description: 'x' } },
    });
    await api.refused('not_found', 'GET', '/api/v2/users');
    await api.refused('forbidden', 'GET', `/api/v2/users/${admin.metadata.id}/sessions`);
  });

  it('end with the secret that began them when their key is rotated', async () => {
    const grace = await addPerson(server.app, 'grace');
    const path = `/api/v2/users/${grace.id}/apikeys/${grace.keyId}/rotate`;
    const former = await signedIn(server, grace);
    const { body, status } = await grace.api.post<NewApiKey>(path, { overlap: 0 });
    expect(status).to.equal(201);
    await former.api.refused('unauthorized', 'GET', '/api/v2/user');
    const next = await signedIn(server, { api: Api.withKey(server.url, body.key) });
    expect((await me(next.api)).status).to.equal(200);
  });

  it('keep their responses out of shared caches', async () => {
    const { api } = await signedIn(server, alice);
    for (let round = 0; round < 3; round += 1) {
      const { headers } = await api.get('/api/v2/networks');
      expect(headers.get('cache-control')).to.equal('private, no-cache');
      expect(headers.get('vary')).to.match(/\bCookie\b/);
    }
    const { headers } = await alice.api.get('/api/v2/networks');
    expect(headers.get('cache-control')).to.equal('no-cache');
  });

  it('change something only for a page of the same origin', async () => {
    const { cookie } = await signedIn(server, alice);
    const origin = server.url;
    const body = { metadata: { name: 'csrf' } };
    const path = `/api/v2/users/${alice.id}/apikeys`;
    const refused: Record<string, string>[] = [
      {},
      { 'Sec-Fetch-Site': 'cross-site' },
      { 'Sec-Fetch-Site': 'same-site' },
      { 'Sec-Fetch-Site': 'none' },
      { 'Sec-Fetch-Site': 'cross-site', Origin: origin },
      { Origin: 'https://evil.example' },
      { Origin: 'null' },
      { Origin: `${origin}.evil.example` },
      { Origin: origin.replace('http:', 'https:') },
      { Referer: `${origin}/` },
    ];
    for (const headers of refused) {
      const api = page(server.url, cookie, headers);
      await api.refused('forbidden', 'POST', path, { body });
      await api.refused('forbidden', 'POST', '/api/v2/signout');
      await api.refused('forbidden', 'DELETE', `${path}/${alice.keyId}`);
      // Reading is what links and images do.
      expect((await me(api)).status).to.equal(200);
    }
    expect((await page(server.url, cookie, { Origin: origin }).post(path, body)).status).to.equal(201);
    expect((await me(page(server.url, cookie))).status).to.equal(200);
  });

  it('do not begin from a page of another site, so that nobody acts as the attacker', async () => {
    for (const headers of [{ 'Sec-Fetch-Site': 'cross-site' }, { Origin: 'https://evil.example' }])
      await alice.api.refused('forbidden', 'POST', '/api/v2/signin', { headers });
  });

  it('do not count beside another credential, whether that is right or wrong', async () => {
    const { cookie } = await signedIn(server, alice);
    const bob = await addPerson(server.app, 'bob');
    const both = { Cookie: cookie, Authorization: `Bearer ${bob.key}` };
    expect((await me(new Api(server.url, both))).body.metadata.name).to.equal('bob');
    await new Api(server.url, { ...both, Authorization: 'Bearer wrong' }).refused(
      'unauthorized',
      'GET',
      '/api/v2/user',
    );
    await new Api(server.url, { Cookie: cookie, 'Api-User': 'alice', 'Api-Key': 'wrong' }).refused(
      'unauthorized',
      'GET',
      '/api/v2/user',
    );
    await new Api(server.url, { ...both, ...fromPage }).refused('unprocessable', 'POST', '/api/v2/signout');
  });

  it('cannot be fixed: a cookie that a client brings is never adopted', async () => {
    const planted = `copse_session=${'A'.repeat(43)}`;
    const first = await alice.api.post('/api/v2/signin', undefined, { headers: { Cookie: planted } });
    expect(cookieOf(first)).not.to.equal(planted);
    await page(server.url, planted).refused('unauthorized', 'GET', '/api/v2/user');
    const again = await alice.api.post('/api/v2/signin', undefined, { headers: { Cookie: cookieOf(first) } });
    expect(cookieOf(again)).not.to.equal(cookieOf(first));
    // A session alone cannot begin another one.
    await page(server.url, cookieOf(first)).refused('unauthorized', 'POST', '/api/v2/signin');
    // Neither of two different ones counts.
    await page(server.url, `${planted}; ${cookieOf(first)}`).refused('unauthorized', 'GET', '/api/v2/user');
    expect((await me(page(server.url, `a=b; ${cookieOf(first)}; copse_sessionx=1`))).status).to.equal(200);
  });

  it('redirect nowhere and take no parameter', async () => {
    for (const name of ['redirect', 'return_to', 'next', 'url'])
      await alice.api.refused('invalid_parameter', 'POST', `/api/v2/signin?${name}=https://evil.example`);
    await alice.api.refused('invalid_body', 'POST', '/api/v2/signin', { body: { userId: alice.id } });
  });

  it('ignore an Idempotency-Key, which would store the cookie', async () => {
    const headers = { 'Idempotency-Key': 'again' };
    const [one, two] = [
      await alice.api.post('/api/v2/signin', undefined, { headers }),
      await alice.api.post('/api/v2/signin', undefined, { headers }),
    ];
    expect(cookieOf(one)).not.to.equal(cookieOf(two));
  });

  it('end by signing out: the cookie is void and forgotten', async () => {
    const { api, id } = await signedIn(server, alice);
    const reply = await api.post('/api/v2/signout');
    expect(reply.status).to.equal(204);
    expect(reply.headers.get('set-cookie')).to.match(/^copse_session=; Path=\/; Max-Age=0; /);
    const refusal = await api.refused('unauthorized', 'GET', '/api/v2/user');
    expect(refusal.headers.get('set-cookie')).to.match(/^copse_session=; Path=\/; Max-Age=0; /);
    await api.refused('unauthorized', 'POST', '/api/v2/signout');
    expect(await list(alice)).not.to.include(id);
  });

  it('are listed for their user and for superusers, who can end them', async () => {
    const carol = await addPerson(server.app, 'carol');
    const [one, two] = [await signedIn(server, carol), await signedIn(server, carol)];
    expect(await list(carol)).to.deep.equal([one.id, two.id]);
    const { text } = await server.admin.get(`/api/v2/users/${carol.id}/sessions`);
    expect(text).not.to.match(/hash|secret/);
    const path = `/api/v2/users/${carol.id}/sessions`;
    await alice.api.refused('not_found', 'GET', path);
    await alice.api.refused('not_found', 'DELETE', `${path}/${one.id}`);
    await alice.api.refused('not_found', 'DELETE', `/api/v2/users/${alice.id}/sessions/${one.id}`);
    expect((await two.api.delete(`${path}/${one.id}`)).status).to.equal(204);
    await one.api.refused('unauthorized', 'GET', '/api/v2/user');
    expect((await server.admin.delete(`${path}/${two.id}`)).status).to.equal(204);
    await two.api.refused('unauthorized', 'GET', '/api/v2/user');
    await carol.api.refused('not_found', 'DELETE', `${path}/${two.id}`);
  });

  it('end with their key, and while their user is inactive', async () => {
    const dave = await addPerson(server.app, 'dave');
    const { body } = await dave.api.post<NewApiKey>(`/api/v2/users/${dave.id}/apikeys`, {
      metadata: { name: 'second' },
    });
    const { api } = await signedIn(server, { api: Api.withKey(server.url, body.key) });
    const set = (active: boolean) => server.admin.patch(`/api/v2/users/${dave.id}`, { spec: { active } });
    await set(false);
    await api.refused('unauthorized', 'GET', '/api/v2/user');
    await set(true);
    expect((await me(api)).status).to.equal(200);
    await dave.api.delete(`/api/v2/users/${dave.id}/apikeys/${body.metadata.id}`);
    await api.refused('unauthorized', 'GET', '/api/v2/user');
  });

  it('end an event stream that they have opened', async () => {
    const { cookie, id } = await signedIn(server, alice);
    const response = await checkedFetch(`${server.url}/api/v2/events`, {
      headers: { Cookie: cookie, Accept: 'text/event-stream' },
    });
    await alice.api.delete(`/api/v2/users/${alice.id}/sessions/${id}`);
    await server.createInstance('wakes-streams');
    let text = '';
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk as Uint8Array).toString();
    expect(text).to.include('retry:');
  });

  it('of one user are at most 100: one more ends the oldest', async () => {
    const erin = await addPerson(server.app, 'erin');
    const first = await signedIn(server, erin);
    for (let count = 0; count < 99; count += 1) await signedIn(server, erin);
    expect((await me(first.api)).status).to.equal(200);
    await signedIn(server, erin);
    await first.api.refused('unauthorized', 'GET', '/api/v2/user');
    const { body } = await erin.api.get<Session[]>(`/api/v2/users/${erin.id}/sessions?limit=200`);
    expect(body).to.have.length(100);
  });

  it('are recorded in the audit trail, without their secrets', async () => {
    const frank = await addPerson(server.app, 'frank');
    const { api, id } = await signedIn(server, frank);
    await api.post('/api/v2/signout');
    const { body, text } = await server.admin.get<{ action: string; user: { name: string } }[]>(
      `/api/v2/admin/events?resourceID=${id}`,
    );
    expect(body.map(({ action, user }) => [action, user.name])).to.have.deep.members([
      ['session.create', 'frank'],
      ['session.delete', 'frank'],
    ]);
    expect(text).not.to.match(/[0-9a-f]{64}"(,"idle|,"user)/);
    expect(text).to.include('[redacted]');
  });

  it('cannot begin while the flag signIn is off; those that exist continue', async () => {
    const { api } = await signedIn(server, alice);
    await server.admin.patch('/api/v2/admin/service_flags', { signIn: false });
    const reply = await alice.api.refused('switched_off', 'POST', '/api/v2/signin', { failing: 503 });
    expect(reply.body.message).to.include('signIn');
    expect((await me(api)).status).to.equal(200);
    await server.admin.patch('/api/v2/admin/service_flags', { signIn: true });
    await signedIn(server, alice);
  });

  it('are removed from the store after their end', async () => {
    const { id } = await signedIn(server, alice);
    const { store, connector } = server.app;
    const found = (await store.get(sessions, id)) ?? expect.fail();
    const past = timestamp(new Date(Date.now() - 1000));
    await store.write([replace(sessions, found, { ...found.value, expiry: past })]);
    expect(await connector.sessions.purge(Date.now())).to.equal(1);
    expect(await store.get(sessions, id)).to.be.undefined;
  });
});

describe('the end of sessions', () => {
  it('comes some time after their last use, and at a fixed time in any case', async () => {
    const server = await startServer({ flags: { auth: { sessions: { idle: 1, lifetime: 3 } } } });
    try {
      const person = await addPerson(server.app, 'sleepy');
      const [used, idle] = [await signedIn(server, person), await signedIn(server, person)];
      const began = performance.now();
      await eventually(
        async () => {
          expect((await used.api.get('/api/v2/user')).status).to.equal(200);
          return performance.now() - began > 1500;
        },
        { within: 2500 },
      );
      await idle.api.refused('unauthorized', 'GET', '/api/v2/user');
      await eventually(async () => (await used.api.get('/api/v2/user')).status === 401, { within: 3000 });
      expect(performance.now() - began).to.be.above(2500);
    } finally {
      await server.stop();
    }
  });
});

describe('the cookie of a server with TLS in front', () => {
  it('is bound to the host and to TLS, and pages of the public URL may use it', async () => {
    const server = await startServer({ flags: { server: { publicUrl: 'https://api.example.com/copse' } } });
    try {
      const reply = await server.admin.post('/api/v2/signin', undefined, {
        headers: { Origin: 'https://api.example.com' },
      });
      expect(reply.headers.get('set-cookie')).to.match(
        /^__Host-copse_session=[A-Za-z0-9_-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure$/,
      );
      const cookie = cookieOf(reply);
      const good = page(server.url, cookie, { Origin: 'https://api.example.com' });
      expect((await good.get('/api/v2/user')).status).to.equal(200);
      await page(server.url, cookie, { Origin: server.url }).refused('forbidden', 'POST', '/api/v2/signout');
      // Without the prefix anybody in the domain could have set it.
      const bare = cookie.replace('__Host-', '');
      await page(server.url, bare).refused('unauthorized', 'GET', '/api/v2/user');
      expect((await good.post('/api/v2/signout')).status).to.equal(204);
    } finally {
      await server.stop();
    }
  });
});

describe('failed sign-ins', () => {
  it('are limited by the name, in each form that it can have, and the right key still works', async () => {
    const limits = { requests: 0, failuresPerAddress: 0, failuresPerName: 3 };
    const server = await startServer({ flags: { limits } });
    try {
      const [alice, bob] = [await addPerson(server.app, 'alice'), await addPerson(server.app, 'bob')];
      const attempt = (name: string, key: string) => {
        const Authorization = `Basic ${Buffer.from(`${name}:${key}`).toString('base64')}`;
        return new Api(server.url, { Authorization }).post('/api/v2/signin');
      };
      expect((await attempt('alice', alice.key)).status).to.equal(200);
      const wrong: number[] = [];
      for (let count = 0; count < 5; count += 1)
        wrong.push((await attempt('alice', `wrong-${count}`)).status);
      expect(wrong).to.deep.equal([401, 401, 401, 429, 429]);
      expect((await attempt('alice', alice.key)).status).to.equal(200);
      expect((await attempt('bob', bob.key)).status).to.equal(200);
    } finally {
      await server.stop();
    }
  });
});
