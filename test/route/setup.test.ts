/** The first superuser, created over the API. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type App, startApp } from '../../src/app.js';
import { apiKeys, users } from '../../src/data/user.js';
import type { AuditEvent } from '../../src/model/audit.js';
import type { CurrentUser } from '../../src/model/user.js';
import type { Network } from '../../src/model/network.js';
import type { SetupResult, SetupState } from '../../src/model/setup.js';
import { Api, learnDocument } from '../support/conform.js';
import { RecordingLog } from '../support/log.js';
import { startServer, testConfig } from '../support/server.js';
import { testAddress } from '../support/store.js';

const path = '/api/v2/setup';

describe('onboarding over the API', () => {
  let dataDir: string;
  let app: App;
  let log: RecordingLog;
  let tokens: string[];
  let clear: () => Promise<void>;

  async function start(flags: object = {}): Promise<Api> {
    dataDir = mkdtempSync(join(tmpdir(), 'copse-setup-'));
    const store = await testAddress(undefined, dataDir);
    clear = () => store.clear();
    log = new RecordingLog();
    tokens = [];
    const config = testConfig(dataDir, { store: store.address, adminKey: '', ...flags });
    app = await startApp(config, { log, onSetupToken: (token) => tokens.push(token) });
    await learnDocument(app.url);
    return new Api(app.url);
  }
  afterEach(async () => {
    await app.stop();
    await clear();
    rmSync(dataDir, { recursive: true, force: true });
  });

  const onboarding = { auth: { onboarding: true } };
  const withToken = (token = tokens[0] ?? '') => ({ headers: { Authorization: `Bearer ${token}` } });
  const allowed = async (api: Api) => (await api.get<SetupState>(path)).body.allowed;

  it('limits wrong tokens like wrong keys', async () => {
    const api = await start({ ...onboarding, limits: { failuresPerAddress: 3, window: 60 } });
    const body = { username: 'ada' };
    for (let count = 0; count < 3; count += 1)
      await api.refused('unauthorized', 'POST', path, { body, ...withToken(`copse_setup_${count}`) });
    await api.refused('rate_limited', 'POST', path, { body, ...withToken('copse_setup_4') });
    await api.refused('rate_limited', 'POST', path, { body, ...withToken() });
    expect(await app.store.count(users, {})).to.equal(0);
  });

  it('creates the superuser, an organization and a project, once, with the token that the start has printed', async () => {
    const api = await start(onboarding);
    expect(tokens).to.have.length(1);
    expect(await allowed(api)).to.be.true;
    expect(await app.store.count(users, {})).to.equal(0);
    for (const headers of [
      {},
      { Authorization: 'Bearer copse_setup_wrong' },
      { Authorization: tokens[0] ?? '' },
    ])
      await api.refused('unauthorized', 'POST', path, { body: { username: 'ada' }, headers });
    expect(await allowed(api)).to.be.true;

    const body = { username: 'ada', organization: 'lab', project: 'bench' };
    const reply = await api.post<SetupResult>(path, body, withToken());
    expect(reply.status, reply.text).to.equal(201);
    expect(reply.headers.get('cache-control')).to.equal('no-store');
    const { user, organization, project, apiKey } = reply.body;
    expect(reply.headers.get('location')).to.equal(`${app.url}/api/v2/users/${user.metadata.id}`);
    expect([user, organization, project].map(({ metadata }) => metadata.name)).to.deep.equal([
      'ada',
      'lab',
      'bench',
    ]);
    const ada = Api.withKey(app.url, apiKey.key);
    expect((await ada.get<CurrentUser>('/api/v2/user')).body.status.superUser).to.be.true;
    const networks = (await ada.get<Network[]>('/api/v2/networks')).body;
    expect(networks.map(({ metadata }) => metadata.projectId)).to.deep.equal([project.metadata.id]);

    expect(await allowed(api)).to.be.false;
    await api.refused('already_exists', 'POST', path, { body: { username: 'eve' }, ...withToken() });
    expect(await app.store.count(users, {})).to.equal(1);

    const { body: records, text } = await ada.get<AuditEvent[]>('/api/v2/admin/events');
    expect(records.map(({ action }) => action)).to.deep.equal([
      'user.create',
      'apikey.create',
      'organization.create',
      'project.create',
      'settings.update',
    ]);
    const shown = text + log.entries.map((entry) => JSON.stringify(entry)).join('\n');
    for (const secret of [apiKey.key, tokens[0] ?? '', app.connector.users.hash(apiKey.key)])
      expect(shown).not.to.include(secret);
  });

  it('lets one of many requests at once succeed', async () => {
    const api = await start(onboarding);
    const replies = await Promise.all(
      Array.from({ length: 8 }, (_none, n) => api.post(path, { username: `first-${n}` }, withToken())),
    );
    expect(replies.map(({ status }) => status).sort()).to.deep.equal([201, ...Array<number>(7).fill(409)]);
    expect(await app.store.count(users, {})).to.equal(1);
    expect(await app.store.count(apiKeys, {})).to.equal(1);
  });

  it('refuses names that are none, and what it does not know', async () => {
    const api = await start(onboarding);
    for (const body of [
      {},
      { username: 'A b' },
      { username: 'ada', superUser: true },
      { username: 'ada', key: 'k' },
    ])
      await api.refused('invalid_body', 'POST', path, { body, ...withToken() });
    const reply = await api.refused('unprocessable', 'POST', path, {
      body: { username: 'system' },
      ...withToken(),
    });
    expect(reply.body.errors?.[0]?.pointer).to.equal('/username');
    expect(await allowed(api)).to.be.true;
  });

  it('is off by default: the start itself creates the superuser, and no token is printed', async () => {
    const api = await start();
    expect(tokens).to.deep.equal([]);
    expect(await allowed(api)).to.be.false;
    await api.refused('already_exists', 'POST', path, { body: { username: 'eve' }, ...withToken('x') });
    expect(await app.store.count(users, {})).to.equal(1);
  });

  it('is over where the operator has set a key', async () => {
    const server = await startServer({ flags: onboarding });
    try {
      expect(await allowed(server.admin)).to.be.false;
    } finally {
      await server.stop();
    }
    await start(onboarding);
  });
});
