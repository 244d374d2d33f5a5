/** Sessions follow the keys with which they have begun, and are refused with 503, and never 401, while none can be read. */
import { expect } from 'chai';
import { timestamp } from '../../src/model/common.js';
import { ApiError } from '../../src/model/error.js';
import type { NewApiKey } from '../../src/model/api-key.js';
import type { Session } from '../../src/model/session.js';
import type { CurrentUser } from '../../src/model/user.js';
import { Api } from '../support/conform.js';
import { cookieOf, page } from '../support/page.js';
import { addPerson, type Person } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

describe('sessions of keys', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0, failuresPerAddress: 0 } } });
  });
  after(() => server.stop());

  async function signedIn({ api }: Pick<Person, 'api'>) {
    const reply = await api.post<Session>('/api/v2/signin');
    expect(reply.status, reply.text).to.equal(200);
    const cookie = cookieOf(reply);
    return { reply, cookie, id: reply.body.metadata.id, api: page(server.url, cookie) };
  }
  const me = (api: Api) => api.get<CurrentUser>('/api/v2/user');
  const list = async (person: Person) =>
    (await person.api.get<Session[]>(`/api/v2/users/${person.id}/sessions`)).body.map(
      ({ metadata }) => metadata.id,
    );

  it('leave the list when their key is revoked, or rotated without an overlap, and end with the key at the latest', async () => {
    const henry = await addPerson(server.app, 'henry');
    const keys = `/api/v2/users/${henry.id}/apikeys`;
    const expiry = timestamp(new Date(Date.now() + 600_000));
    const { body: second } = await henry.api.post<NewApiKey>(keys, { metadata: { name: 'second', expiry } });
    const withSecond = Api.withKey(server.url, second.key);
    const own = await signedIn(henry);
    const others = [await signedIn({ api: withSecond }), await signedIn({ api: withSecond })];
    const { metadata, status } = others[0]?.reply.body ?? expect.fail('no session');
    expect(metadata.expiry).to.equal(expiry);
    expect(Date.parse(status.idleExpiry)).to.be.at.most(Date.parse(expiry));
    expect(await list(henry)).to.have.members([own.id, ...others.map(({ id }) => id)]);

    const rotated = await henry.api.post<NewApiKey>(`${keys}/${second.metadata.id}/rotate`, { overlap: 60 });
    const later = await signedIn({ api: Api.withKey(server.url, rotated.body.key) });
    expect(await list(henry)).to.have.length(4);
    await henry.api.post(`${keys}/${second.metadata.id}/rotate`, {});
    expect(await list(henry)).to.deep.equal([own.id]);
    await later.api.refused('unauthorized', 'GET', '/api/v2/user');

    const third = await henry.api.post<NewApiKey>(keys, { metadata: { name: 'third' } });
    const last = await signedIn({ api: Api.withKey(server.url, third.body.key) });
    expect(await list(henry)).to.have.members([own.id, last.id]);
    expect((await henry.api.delete(`${keys}/${third.body.metadata.id}`)).status).to.equal(204);
    expect(await list(henry)).to.deep.equal([own.id]);
    await last.api.refused('unauthorized', 'GET', '/api/v2/user');
    expect((await me(own.api)).status).to.equal(200);
  });

  it('and keys that cannot be looked up are 503, neither 401 nor let in, and are not counted as failures', async () => {
    const { store } = server.app;
    const ivy = await addPerson(server.app, 'ivy');
    const { cookie } = await signedIn(ivy);
    const shown: Record<string, string>[] = [
      { Authorization: `Bearer ${ivy.key}` },
      { 'Api-User': 'ivy', 'Api-Key': ivy.key },
      { Authorization: 'Bearer copse_unknown' },
      { Cookie: cookie },
    ];
    const asked = (headers: Record<string, string>) =>
      new Api(server.url, headers).get('/api/v2/user', { failing: 503 });
    for (const method of ['find', 'get'] as const) {
      // Nothing is known from before.
      await addPerson(server.app, `passer-by-${method}`);
      Reflect.set(store, method, () => Promise.reject(unreachable()));
      try {
        for (const headers of shown) {
          const { status, text } = await asked(headers);
          // An unknown key is found nowhere, without a further read.
          if (method === 'get' && headers['Authorization'] === 'Bearer copse_unknown') continue;
          expect(status, `${method} ${Object.keys(headers).join()} ${text}`).to.equal(503);
        }
      } finally {
        Reflect.deleteProperty(store, method);
      }
    }
    const statuses = await Promise.all(shown.map(async (headers) => (await asked(headers)).status));
    expect(statuses).to.deep.equal([200, 200, 401, 200]);
  });
});

const unreachable = () => new ApiError('store_unavailable', 'The database cannot be reached.');
