/** Failed attempts to authenticate: limited per address and per name, and the same for unknown users and wrong keys. */
import { expect } from 'chai';
import { newApiKey } from '../../src/data/user.js';
import { addressOf } from '../../src/route/pipeline/failure-limit.js';
import { Api } from '../support/conform.js';
import { median, refusalTimes } from '../support/credential-times.js';
import { eventually } from '../support/eventually.js';
import { cookieOf, fromPage } from '../support/page.js';
import { addPerson, type Person } from '../support/people.js';
import { startServer, type TestServer } from '../support/server.js';

const path = '/api/version';
const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });
const named = (name: string, key: string) => ({ 'Api-User': name, 'Api-Key': key });

describe('failed attempts to authenticate', () => {
  let server: TestServer;
  let anonymous: Api;
  let alice: Person;
  let bob: Person;

  const statusWith = async (headers: Record<string, string>) =>
    (await anonymous.get(path, { headers })).status;

  async function start(failuresPerAddress: number, failuresPerName: number, window = 2): Promise<void> {
    server = await startServer({
      flags: { limits: { requests: 0, failuresPerAddress, failuresPerName, window } },
    });
    anonymous = new Api(server.url);
    alice = await addPerson(server.app, 'alice');
    bob = await addPerson(server.app, 'bob');
  }
  afterEach(() => server.stop());

  it('from one address are refused with 429 beyond the limit, whatever they show, until Retry-After', async () => {
    await start(5, 0);
    expect(await statusWith(bearer(bob.key))).to.equal(200);
    const attempts = [
      bearer(newApiKey()),
      named('alice', newApiKey()),
      named('nobody', newApiKey()),
      { Authorization: 'Bearer' },
      { Authorization: 'Basic YTpi' },
    ];
    for (const headers of attempts) expect(await statusWith(headers)).to.equal(401);
    for (const headers of attempts) {
      const reply = await anonymous.refused('rate_limited', 'GET', path, { headers });
      expect(Number(reply.headers.get('retry-after'))).to.be.within(1, 2);
      expect(reply.text).not.to.include('alice');
    }
    // What has worked before still does; so do requests that need no user.
    expect(await statusWith(bearer(bob.key))).to.equal(200);
    expect((await anonymous.get('/health', { headers: bearer('wrong') })).status).to.equal(200);
    expect(await statusWith({})).to.equal(401);
    // A right key that has not been shown yet waits as long as all others, and no longer.
    expect(await statusWith(named('alice', alice.key))).to.equal(429);
    await eventually(async () => (await statusWith(named('alice', alice.key))) === 200, {
      within: 5000,
      what: 'the right key to be let in',
    });
    expect(await statusWith(named('alice', alice.key))).to.equal(200);
  });

  it('under one name are refused beyond the limit, whether there is such a user or not', async () => {
    await start(0, 3, 60);
    for (const name of ['alice', 'nobody']) {
      const wrong = () => statusWith(named(name, newApiKey()));
      const statuses = [await wrong(), await wrong(), await wrong(), await wrong(), await wrong()];
      expect(statuses, name).to.deep.equal([401, 401, 401, 429, 429]);
    }
    expect(await statusWith(named('bob', bob.key))).to.equal(200);
    // The owner of the name gets in with the key alone, and from then on in either way.
    expect(await statusWith(bearer(alice.key))).to.equal(200);
    expect(await statusWith(named('bob', newApiKey()))).to.equal(401);
  });

  it('do not shut out a key that has worked, even when others write and nothing is cached', async () => {
    await start(3, 3, 60);
    expect(await statusWith(named('alice', alice.key))).to.equal(200);
    for (let n = 0; n < 4; n += 1) await statusWith(named('alice', newApiKey()));
    expect(await statusWith(named('alice', newApiKey()))).to.equal(429);
    await addPerson(server.app, 'another');
    expect(await statusWith(named('alice', alice.key))).to.equal(200);
    // Once it is revoked, it counts like any other.
    const revoked = await server.admin.delete(`/api/v2/users/${alice.id}/apikeys/${alice.keyId}`);
    expect(revoked.status).to.equal(204);
    expect(await statusWith(named('alice', alice.key))).to.equal(401);
    expect(await statusWith(named('alice', alice.key))).to.equal(429);
  });

  it('are not limited with 0', async () => {
    await start(0, 0);
    for (let n = 0; n < 50; n += 1) expect(await statusWith(named('alice', newApiKey()))).to.equal(401);
  });

  it('of an unknown user and with a wrong key take the same time', async () => {
    await start(0, 0);
    const kinds = [() => named('nobody', newApiKey()), () => named('alice', newApiKey())];
    const [unknown, wrong] = (await refusalTimes(server.url, kinds, 300)).map(median);
    expect(Math.abs((unknown ?? 0) / (wrong ?? 0) - 1)).to.be.below(0.25);
  });

  it('are counted by the address that a trusted proxy names, and by no other', async () => {
    const limits = { requests: 0, failuresPerAddress: 2, failuresPerName: 0, window: 60 };
    server = await startServer({
      flags: { limits, server: { trustedProxies: ['127.0.0.0/8', '10.0.0.0/8'] } },
    });
    anonymous = new Api(server.url);
    const from = (forwarded: string) => statusWith({ ...bearer(newApiKey()), 'X-Forwarded-For': forwarded });
    for (const status of [401, 401, 429]) expect(await from('203.0.113.7')).to.equal(status);
    // Whatever the client itself has written stands before what the proxies add.
    expect(await from('198.51.100.1, 203.0.113.7')).to.equal(429);
    expect(await from('203.0.113.7, 10.1.2.3')).to.equal(429);
    expect(await from('203.0.113.7:4711')).to.equal(429);
    expect(await from('203.0.113.8')).to.equal(401);
    expect(await from('2001:db8:1:2::1')).to.equal(401);
    expect(await from('[2001:db8:1:2::2]:443')).to.equal(401);
    expect(await from('2001:db8:1:2::3')).to.equal(429);
    // Something else than an address: the proxy itself counts.
    for (const status of [401, 401, 429]) expect(await from('unknown')).to.equal(status);
  });

  it('do not believe X-Forwarded-For of anybody else', async () => {
    const limits = { requests: 0, failuresPerAddress: 2, failuresPerName: 0, window: 60 };
    server = await startServer({ flags: { limits, server: { trustedProxies: ['10.0.0.0/8'] } } });
    anonymous = new Api(server.url);
    const statuses = [];
    for (let n = 0; n < 3; n += 1)
      statuses.push(await statusWith({ ...bearer(newApiKey()), 'X-Forwarded-For': `203.0.113.${n}` }));
    expect(statuses).to.deep.equal([401, 401, 429]);
  });

  it('do not shut out a session whose page has other cookies, which change', async () => {
    await start(3, 3, 60);
    const signIn = await alice.api.post('/api/v2/signin');
    const cookie = cookieOf(signIn);
    const withCookie = (more: string) => statusWith({ Cookie: `${cookie}; ${more}`, ...fromPage });
    expect(await withCookie('theme=dark')).to.equal(200);
    for (let n = 0; n < 4; n += 1) await statusWith(bearer(newApiKey()));
    expect(await statusWith(bearer(newApiKey()))).to.equal(429);
    await addPerson(server.app, 'somebody-else');
    expect(await withCookie('theme=light')).to.equal(200);
    // Without a credential nothing is counted, whatever other cookies there are.
    expect(await statusWith({ Cookie: 'theme=light' })).to.equal(401);
  });

  it('are told apart by IPv4 address, and by the network of 64 bits of an IPv6 address', async () => {
    await start(0, 0);
    const of = (remoteAddress: string) => addressOf({ headers: {}, socket: { remoteAddress } });
    expect(of('192.0.2.1')).to.equal('192.0.2.1');
    expect(of('::ffff:192.0.2.1')).to.equal('192.0.2.1');
    expect(of('2001:db8:1:2:3:4:5:6')).to.equal(of('2001:db8:1:2::9'));
    expect(of('2001:db8::1')).to.equal('2001:db8:0:0');
    expect(of('2001:db8::1')).not.to.equal(of('2001:db8:0:1::1'));
    expect(of('fe80::1%eth0')).to.equal('fe80:0:0:0');
    expect(of('::1')).to.equal('0:0:0:0');
  });
});
