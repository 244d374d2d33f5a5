/** Two processes on one store: what a superuser changes through one takes effect in the other within a second. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { secretFor } from '../../src/data/secret.js';
import { insert } from '../../src/data/store/port.js';
import { apiKeys, newApiKey, UserData, users } from '../../src/data/user.js';
import { timestamp } from '../../src/model/common.js';
import type { NewApiKey } from '../../src/model/api-key.js';
import type { Task } from '../../src/model/task.js';
import { openStore } from '../../src/site/stores.js';
import { checkedFetch } from '../support/conform.js';
import { absentId } from '../support/fuzz-seed.js';
import {
  adminKey,
  cleanUp,
  createInstance,
  mainFile,
  type Offer,
  offerOf,
  type ServerProcess,
  startServer,
  temporaryFolder,
  until,
} from '../support/process.js';
import { onMongo, testAddress } from '../support/store.js';

describe('settings of two processes on one store', function () {
  this.timeout(90_000);
  let folder: string;
  let store: string;
  let one: ServerProcess;
  let other: ServerProcess;
  let offer: Offer;
  let key: string;

  before(async () => {
    folder = temporaryFolder();
    store = (await testAddress(`sqlite:${join(folder, 'site.sqlite')}`)).address;
    const options = {
      dataDir: folder,
      args: ['--region', 'simulated'],
      environment: { COPSE_STORE: store, COPSE_SIMULATED_DELAY: '5' },
    };
    // `one` only serves: its tasks are run by the other.
    other = await startServer(options);
    one = await startServer({ ...options, dataDir: join(folder, 'api'), args: ['--no-worker'] });
    offer = await offerOf(other.client, 'sim-linux');
    key = await addAnna();
  });
  after(async () => {
    for (const server of [one, other]) await server.kill('SIGTERM');
    await cleanUp(folder);
  });

  /** A user with a key, put into the store. */
  async function addAnna(): Promise<string> {
    const opened = await openStore(store, folder, collections);
    const rule = { superUsers: [], everyoneIsSuperUser: false };
    const data = new UserData(opened, await secretFor(opened, 'apikey'), () => rule);
    const made = newApiKey();
    const userId = '01900000-0000-7000-8000-000000001000';
    const creationTime = timestamp();
    const record = { userId, name: 'test', hash: data.hash(made), creationTime };
    await opened.write([
      insert(users, userId, { name: 'anna', active: true, creationTime }),
      insert(apiKeys, 'key-of-anna', record),
    ]);
    await opened.close();
    return made;
  }

  const ask = (server: ServerProcess, path: string, { method = 'GET', body = {}, as = adminKey } = {}) =>
    checkedFetch(`${server.url}/api/v2${path}`, {
      method,
      headers: { Authorization: `Bearer ${as}`, 'Content-Type': 'application/json' },
      ...(method === 'GET' ? {} : { body: JSON.stringify(body) }),
    });
  const change = async (path: string, body: object, method = 'PATCH') => {
    const response = await ask(one, `/admin/${path}`, { method, body });
    expect(response.status, await response.clone().text()).to.equal(200);
  };
  /** Within one second, and the time of a request that is under way then. */
  const soon = (what: string, look: () => Promise<boolean>) =>
    until(what, 1, async () => ((await look()) ? true : undefined));

  it('a superuser is made, and is one no more', async () => {
    const status = async () => (await ask(other, '/admin/settings', { as: key })).status;
    expect(await status()).to.equal(404);
    await change('settings', { superUsers: ['anna'] });
    await soon('the new superuser', async () => (await status()) === 200);
    await change('settings', { superUsers: null });
    await soon('the end of a superuser', async () => (await status()) === 404);
  });

  it('a setting: the rate limit', async () => {
    const policy = async () => (await ask(other, '/projects')).headers.get('ratelimit-policy');
    await change('settings', { limits: { requests: 4321 } });
    await soon('the new limit', async () => (await policy()) === '"default";q=4321;w=60');
    await change('settings', { limits: null });
    await soon('the old limit', async () => (await policy()) === '"default";q=6000;w=60');
  });

  it('a revoked key, and a user who is no longer active', async () => {
    const userId = '01900000-0000-7000-8000-000000001000';
    const made = await ask(one, `/users/${userId}/apikeys`, {
      method: 'POST',
      body: { metadata: { name: 'short-lived' } },
    });
    const { key: short, metadata } = (await made.json()) as NewApiKey;
    const status = async (as: string) => (await ask(other, '/user', { as })).status;
    expect(await status(short)).to.equal(200);
    const end = await ask(one, `/users/${userId}/apikeys/${metadata.id}`, { method: 'DELETE' });
    expect(end.status).to.equal(204);
    await soon('the end of the key', async () => (await status(short)) === 401);
    for (const [active, expected] of [
      [false, 401],
      [true, 200],
    ] as const) {
      await ask(one, `/users/${userId}`, { method: 'PATCH', body: { spec: { active } } });
      await soon(`a user who is active: ${active}`, async () => (await status(key)) === expected);
    }
  });

  it('the banner', async () => {
    await change('banner', { banner: 'Hello', theme: 'announcement' }, 'PUT');
    await soon('the banner', async () =>
      (await (await ask(other, '/admin/banner')).text()).includes('Hello'),
    );
  });

  it('a flag: creation', async () => {
    const body = { metadata: { name: 'x' }, spec: { ...offer, imageId: absentId } };
    const refusal = async () => {
      const response = await ask(other, '/instances', { method: 'POST', body });
      return response.headers.get('x-error-code');
    };
    await change('service_flags', { creation: false });
    await soon('no more creates', async () => (await refusal()) === 'switched_off');
    await change('service_flags', { creation: true });
    await soon('creates', async () => (await refusal()) === 'invalid_reference');
  });

  it('a flag: a task type, whose tasks wait meanwhile', async () => {
    const status = async (id: string) => ((await (await ask(other, `/tasks/${id}`)).json()) as Task).status;
    const flag = async (name: string) =>
      ((await (await ask(other, '/admin/service_flags')).json()) as Record<string, boolean>)[name];
    await change('service_flags', { 'instance.create': false });
    // The process that runs tasks knows it when it refuses to create, by a flag set after it.
    await change('service_flags', { creation: false });
    await soon('the flags', async () => {
      const body = { metadata: { name: 'x' }, spec: offer };
      return (await ask(other, '/instances', { method: 'POST', body })).status === 503;
    });
    await change('service_flags', { creation: true });
    const { status: made } = await createInstance(one.client, 'waits', offer);
    const { status: stop } = await ask(other, `/tasks/${made.taskId ?? ''}`);
    expect(stop).to.equal(200);
    expect(await flag('instance.create')).to.equal(false);
    expect(await status(made.taskId ?? '')).to.equal('pending');
    await change('service_flags', { 'instance.create': true });
    await soon('the task', async () => (await status(made.taskId ?? '')) === 'succeeded');
  });

  it('copse audit verify is content, and no longer once a record is gone', function () {
    if (onMongo) {
      process.stdout.write('!!! SKIPPED on MongoDB: a record is removed from the SQLite file\n');
      this.skip();
    }
    const verify = () => {
      const args = [mainFile, 'audit', 'verify', '--data-dir', folder];
      const environment = { PATH: process.env['PATH'], COPSE_STORE: store };
      return spawnSync(process.execPath, args, { encoding: 'utf8', env: environment });
    };
    const intact = verify();
    expect(intact.stderr).to.match(
      /^\d+ audit records, intact; the last one is \d+ with the hash [0-9a-f]{64}\.$/m,
    );
    expect(intact.status).to.equal(0);
    const database = new Database(join(folder, 'site.sqlite'));
    database.prepare('DELETE FROM audit WHERE sequence = 2').run();
    database.close();
    const cut = verify();
    expect(cut.stderr).to.include('records 2 to 2: they are missing');
    expect(cut.status).to.equal(1);
  });
});
