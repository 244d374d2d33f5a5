import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { networks } from '../../src/data/network.js';
import { organizations } from '../../src/data/organization.js';
import { projects } from '../../src/data/project.js';
import { secretFor } from '../../src/data/secret.js';
import { setUp, setUpRegion } from '../../src/data/setup.js';
import type { CollectionSpec, Store } from '../../src/data/store/port.js';
import { apiKeys, newApiKey, UserData, users } from '../../src/data/user.js';
import { failureOf } from '../support/eventually.js';
import { Api } from '../support/conform.js';
import { adminKey, startServer } from '../support/server.js';
import { openTestStore } from '../support/store.js';

const rule = { superUsers: ['admin'], everyoneIsSuperUser: false };

describe('the first run', () => {
  let store: Store;
  let userData: UserData;

  const count = (collection: CollectionSpec<never>) => store.count(collection, {});

  beforeEach(async () => {
    store = await openTestStore();
    userData = new UserData(store, await secretFor(store, 'apikey'), () => rule);
  });
  afterEach(() => store.close());

  it('makes superuser, organization, project and in each region a network, and a key that works', async () => {
    const { newKey = '' } = await setUp(store, userData, { adminName: 'admin', adminKey: '' });
    await setUpRegion(store, 'one', 'simulated');
    await setUpRegion(store, 'two', 'simulated');
    expect(newKey).to.match(/^copse_[A-Za-z0-9_-]{43}$/);
    expect(await userData.identify(newKey)).to.include({ name: 'admin', superUser: true });
    for (const [collection, expected] of [
      [users, 1],
      [organizations, 1],
      [projects, 1],
      [networks, 2],
      [apiKeys, 1],
    ] as const) {
      expect(await count(collection), collection.name).to.equal(expected);
    }
  });

  it('repeated changes nothing and makes no second key', async () => {
    await setUp(store, userData, { adminName: 'admin', adminKey: '' });
    const region = await setUpRegion(store, 'one', 'simulated');
    expect(await setUp(store, userData, { adminName: 'admin', adminKey: '' })).to.deep.equal({});
    expect(await setUpRegion(store, 'one', 'simulated')).to.deep.equal(region);
    expect(await count(apiKeys)).to.equal(1);
    expect(await count(networks)).to.equal(1);
  });

  it('by several processes at once makes one key, which works, and was written down before it counted', async () => {
    const written: string[] = [];
    const writeDown = (key: string) => written.push(key);
    const results = await Promise.all(
      Array.from({ length: 10 }, () =>
        setUp(store, userData, { adminName: 'admin', adminKey: '', writeDown }),
      ),
    );
    const keys = results.flatMap(({ newKey }) => newKey ?? []);
    expect(keys).to.have.lengthOf(1);
    expect(written).to.include(keys[0]);
    expect(await userData.identify(keys[0] ?? '')).to.include({ name: 'admin' });
    expect(await count(apiKeys)).to.equal(1);
  });

  it('gives the project its networks in regions that came before it', async () => {
    await setUpRegion(store, 'early', 'simulated');
    expect(await count(networks)).to.equal(0);
    await setUp(store, userData, { adminName: 'admin', adminKey: '' });
    expect(await count(networks)).to.equal(1);
  });

  it('by several processes at once makes everything once', async () => {
    const results = await Promise.all(
      Array.from({ length: 10 }, () => setUp(store, userData, { adminName: 'admin', adminKey: adminKey })),
    );
    await Promise.all(Array.from({ length: 10 }, () => setUpRegion(store, 'one', 'simulated')));
    expect(results.every((result) => result.newKey === undefined)).to.be.true;
    for (const collection of [users, organizations, projects, networks, apiKeys])
      expect(await count(collection), collection.name).to.equal(1);
  });

  it('takes the key that the operator sets, and another one in its place', async () => {
    await setUp(store, userData, { adminName: 'admin', adminKey });
    expect(await userData.identify(adminKey)).to.include({ name: 'admin' });
    const next = newApiKey();
    await setUp(store, userData, { adminName: 'admin', adminKey: next });
    expect(await userData.identify(next)).to.include({ name: 'admin' });
    expect(await userData.identify(adminKey)).to.be.undefined;
  });

  it('refuses a key that belongs to somebody else', async () => {
    await setUp(store, userData, { adminName: 'other', adminKey });
    const failure = await failureOf(setUp(store, userData, { adminName: 'admin', adminKey }));
    expect(failure.message).to.include('adminKey').and.not.to.include(adminKey);
  });
});

describe('the first start of a server', () => {
  it('shows the new key once, and keeps it in a file that only the owner can read', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'copse-first-'));
    const shown: [string, string, string][] = [];
    const start = (key: string) =>
      startServer({
        dataDir,
        flags: { store: 'sqlite:copse.sqlite', adminKey: key },
        onNewKey: (...told) => shown.push(told),
      });
    try {
      // The helper asks with its own key, which this server does not have yet.
      await failureOf(start(''));
      expect(shown).to.have.length(1);
      const [key, user, file] = shown[0] ?? ['', '', ''];
      expect([user, file]).to.deep.equal(['admin', join(dataDir, 'admin.key')]);
      expect(readFileSync(file, 'utf8')).to.equal(`${key}\n`);
      expect(statSync(file).mode & 0o777).to.equal(0o600);

      const second = await start(adminKey);
      expect(shown).to.have.length(1);
      for (const one of [key, adminKey]) {
        expect((await Api.withKey(second.url, one).get('/api/version')).status).to.equal(200);
      }
      await second.stop();
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  });
});
