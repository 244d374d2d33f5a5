/** First run and recovery on the real program, with two processes, on both engines: one superuser, and a way back in. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { collections } from '../../src/data/connector.js';
import { apiKeys, users } from '../../src/data/user.js';
import { openStore } from '../../src/site/stores.js';
import { checkedFetch } from '../support/conform.js';
import {
  adminKey,
  cleanUp,
  mainFile,
  type ServerProcess,
  startServer,
  temporaryFolder,
  until,
} from '../support/process.js';
import { freshDatabase, mongoMissing, stopMongo } from '../support/mongo.js';

interface Engine {
  name: string;
  /** What there is not, and so skips the suite. */
  missing: () => string | undefined;
  address: (folder: string) => Promise<string>;
}

const engines: Engine[] = [
  {
    name: 'SQLite',
    missing: () => undefined,
    address: (folder) => Promise.resolve(`sqlite:${join(folder, 'site.sqlite')}`),
  },
  { name: 'MongoDB', missing: mongoMissing, address: () => freshDatabase() },
];

for (const engine of engines) firstRun(engine);

function firstRun({ name, missing, address }: Engine): void {
  describe(`the first run of two processes on one store on ${name}`, function () {
    this.timeout(120_000);
    before(function () {
      const lacking = missing();
      if (lacking === undefined) return;
      process.stdout.write(`!!! SKIPPED, the first run on ${name}: ${lacking}\n`);
      this.skip();
    });
    after(() => (missing() === undefined ? stopMongo() : undefined));
    let folder: string;
    let store: string;
    const servers: ServerProcess[] = [];

    beforeEach(async () => {
      folder = temporaryFolder();
      store = await address(folder);
    });
    afterEach(async () => {
      for (const server of servers.splice(0)) await server.kill('SIGTERM');
      await cleanUp(folder);
    });

    const begin = async (dataDir: string, args: string[], environment: Record<string, string> = {}) => {
      const server = await startServer({
        dataDir: join(folder, dataDir),
        args,
        environment: { COPSE_STORE: store, ...environment },
      });
      servers.push(server);
      return server;
    };

    const copse = (...args: string[]) =>
      spawnSync(process.execPath, [mainFile, ...args, '--data-dir', folder], {
        encoding: 'utf8',
        timeout: 60_000,
        env: { ...process.env, COPSE_STORE: store },
      });

    const ask = async (server: ServerProcess, path: string, key: string) =>
      (await checkedFetch(server.url + path, { headers: { Authorization: `Bearer ${key}` } })).status;

    async function counted(): Promise<number[]> {
      const opened = await openStore(store, folder, collections);
      const counts = [await opened.count(users, {}), await opened.count(apiKeys, {})];
      await opened.close();
      return counts;
    }

    it('makes one superuser with one key, though they start together', async () => {
      const generated = { COPSE_ADMIN_KEY: '' };
      await Promise.all([
        begin('one', ['--region', 'simulated'], generated),
        begin('two', ['--no-worker'], generated),
        begin('three', ['--no-worker'], generated),
      ]);
      expect(await counted()).to.deep.equal([1, 1]);
      const files = ['one', 'two', 'three'].map((name) => join(folder, name, 'admin.key')).filter(existsSync);
      expect(files).to.have.length(1);
      const key = readFileSync(files[0] ?? '', 'utf8').trim();
      for (const server of servers) expect(await ask(server, '/api/v2/admin/settings', key)).to.equal(200);
    });

    it('leaves it to `copse setup`, which works once, with or without a server', async () => {
      const file = join(folder, 'ada.key');
      const waiting = { COPSE_ADMIN_KEY: '', COPSE_AUTH_ONBOARDING: 'true' };
      const server = await begin('one', ['--region', 'simulated'], waiting);
      const done = copse('setup', '--user', 'ada', '--key-file', file);
      expect(done.status, done.stderr).to.equal(0);
      expect(statSync(file).mode & 0o777).to.equal(0o600);
      const key = readFileSync(file, 'utf8').trim();
      expect(done.stdout + done.stderr).not.to.include(key);
      await until('the superuser', 2, async () =>
        (await ask(server, '/api/v2/admin/settings', key)) === 200 ? true : undefined,
      );
      const again = copse('setup', '--user', 'eve', '--key-file', join(folder, 'eve.key'));
      expect(again.status).to.equal(1);
      expect(again.stderr).to.include('set up already');
      expect(existsSync(join(folder, 'eve.key'))).to.be.false;
      // A start without onboarding creates nobody either.
      await begin('two', ['--no-worker'], { COPSE_ADMIN_KEY: '' });
      expect(await counted()).to.deep.equal([1, 1]);
    });

    it('ends a revoked key in the other process at once, and `copse user reset-key` lets its owner in again', async () => {
      const one = await begin('one', ['--region', 'simulated']);
      const other = await begin('two', ['--no-worker']);
      const status = (server: ServerProcess, key: string) => ask(server, '/api/v2/admin/settings', key);
      expect([await status(one, adminKey), await status(other, adminKey)]).to.deep.equal([200, 200]);

      const first = copse('user', 'reset-key', 'admin');
      expect(first.status, first.stderr).to.equal(0);
      const key = first.stdout.trim();
      expect(key).to.match(/^copse_[\w-]{43}$/);
      for (const server of [one, other]) {
        expect(await status(server, key)).to.equal(200);
        expect(await status(server, adminKey)).to.equal(200);
      }

      const file = join(folder, 'new.key');
      const second = copse('user', 'reset-key', 'admin', '--revoke', '--key-file', file);
      expect(second.status, second.stderr).to.equal(0);
      expect(second.stderr).to.include('Keys revoked: 2');
      const last = readFileSync(file, 'utf8').trim();
      for (const server of [one, other]) {
        for (const revoked of [key, adminKey]) expect(await status(server, revoked)).to.equal(401);
        expect(await status(server, last)).to.equal(200);
      }
      const trail = await checkedFetch(`${one.url}/api/v2/admin/events?user=system&limit=100`, {
        headers: { Authorization: `Bearer ${last}` },
      });
      const text = await trail.text();
      const actions = (JSON.parse(text) as { action: string }[]).map(({ action }) => action);
      expect(actions).to.deep.equal(['apikey.create', 'apikey.delete', 'apikey.delete', 'apikey.create']);
      for (const secret of [key, last]) expect(text).not.to.include(secret);

      writeFileSync(join(folder, 'taken.key'), 'precious');
      const taken = copse('user', 'reset-key', 'admin', '--key-file', join(folder, 'taken.key'));
      expect(taken.status).to.equal(1);
      expect(readFileSync(join(folder, 'taken.key'), 'utf8')).to.equal('precious');
      const nobody = copse('user', 'reset-key', 'nobody');
      expect(nobody.status).to.equal(1);
      expect(nobody.stderr).to.include('no user "nobody"');
      expect(nobody.stdout).to.equal('');
    });
  });
}
