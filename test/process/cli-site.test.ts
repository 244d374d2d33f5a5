import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Task } from '../../src/model/task.js';
import { Cli } from '../support/cli.js';
import { adminKey, cleanUp, type ServerProcess, startServer, temporaryFolder } from '../support/process.js';

describe('the command line', function () {
  this.timeout(60_000);
  let folder: string;
  let server: ServerProcess;
  let cli: Cli;

  before(async () => {
    folder = temporaryFolder();
    mkdirSync(join(folder, 'home'));
    server = await startServer({ dataDir: join(folder, 'data'), args: ['--region', 'simulated'] });
    cli = new Cli(join(folder, 'home'), server.url);
  });
  after(async () => {
    await server.kill('SIGTERM');
    await cleanUp(folder);
  });

  describe('of people and the site', () => {
    it('creates a user, a key that works, a project and a member', async () => {
      await cli.out('user', 'create', 'ann');
      const { stdout: key, stderr } = await cli.run([
        'apikey',
        'create',
        'main',
        '--user',
        'ann',
        '--expires',
        '30d',
      ]);
      expect(stderr).to.contain('only this once');
      await cli.out('project', 'create', 'orchard');
      expect(await cli.out('project', 'member', 'add', 'orchard', 'ann')).to.equal(
        'Added ann as operator.\n',
      );
      const own = { environment: { COPSE_API_KEY: key.trim() } };
      const { stdout } = await cli.run(['user', 'show'], own);
      expect(stdout).to.match(/name +ann\n(.*\n)*projects +orchard \(operator\)\n/);
      expect(await cli.out('project', 'member', 'set', 'orchard', 'ann', '--role', 'reader')).to.contain(
        'reader',
      );
      expect(await cli.out('project', 'member', 'list', 'orchard', '-o', 'csv')).to.contain(',reader\n');
      await cli.out('project', 'member', 'remove', 'orchard', 'ann');
      await cli.out('user', 'deactivate', 'ann');
      expect((await cli.run(['user', 'show'], own)).status).to.equal(3);
      expect(await cli.out('apikey', 'list', '--user', 'ann', '-o', 'name')).to.equal('main\n');
      await cli.out('project', 'delete', 'orchard', '--yes');
    });

    it('changes settings, flags and the banner, and takes a change back', async () => {
      expect(await cli.out('admin', 'settings', 'instances.expiryWarning=12')).to.match(
        /^instances\.expiryWarning +12$/m,
      );
      expect(await cli.out('admin', 'flags', 'hooks=off')).to.match(/^hooks +off$/m);
      await cli.out('admin', 'flags', 'hooks=on');
      expect(await cli.out('admin', 'banner', 'Maintenance', '--theme', 'warning')).to.match(
        /^banner +Maintenance$/m,
      );
      expect(await cli.out('admin', 'banner', '--clear')).to.match(/^banner +-$/m);
      const record = await cli.out('admin', 'audit', '--filter', 'type=settings', '-o', 'template={{id}}');
      await cli.out('admin', 'revert', record.split('\n')[0] ?? '');
      expect(await cli.out('admin', 'settings')).to.match(/^instances\.expiryWarning +24$/m);
    });

    it('shows and limits what a project may use', async () => {
      expect(await cli.out('quota', 'set', 'default', 'cpus=7', 'disk=100')).to.match(/^cpus +0 of 7$/m);
      await cli.out('quota', 'set', 'default', 'disk=none');
      const quota = JSON.parse(await cli.out('quota', 'show', 'default', '-o', 'json')) as { limits: object };
      expect(quota.limits).to.deep.equal({ cpus: 7 });
      await cli.out('quota', 'set', 'default', 'cpus=none');
      expect((await cli.run(['quota', 'set', 'default', 'cpu=7'])).status).to.equal(2);
    });

    it('adds SSH keys and lets them log in, and refuses a private key', async () => {
      const file = join(folder, 'id.pub');
      const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJXoZRJ4bNfmRQpA7rJdUeJHqQ8NqC1lKXDWXr8m4Yd1 me';
      writeFileSync(file, key);
      expect(await cli.out('key', 'add', 'laptop', file)).to.match(/^Added laptop \(SHA256:/);
      expect(await cli.out('instance', 'create', 'keyed', '--key', 'laptop')).to.contain('Created keyed');
      await cli.out('instance', 'delete', 'keyed', '--yes');
      writeFileSync(file, '-----BEGIN OPENSSH PRIVATE KEY-----');
      expect((await cli.run(['key', 'add', 'desk', file])).status).to.equal(2);
      await cli.out('key', 'delete', 'laptop');
      expect(await cli.out('key', 'list', '-o', 'name')).to.equal('');
    });

    it('creates and deletes webhooks', async () => {
      const out = await cli.out(
        'webhook',
        'create',
        'https://example.com/hook',
        '--select',
        'type=instance.created',
      );
      expect(out).to.match(/^Created ([0-9a-f-]{36})\.\nwhsec_/);
      const [, id = ''] = /Created ([0-9a-f-]{36})/.exec(out) ?? [];
      expect(await cli.out('webhook', 'list', '--columns', 'url,events')).to.contain('type=instance.created');
      await cli.out('webhook', 'delete', id, '--yes');
      expect(await cli.out('webhook', 'list', '-o', 'json')).to.equal('[]\n');
    });
  });

  describe('of tasks and events', () => {
    it('does not wait with --no-wait, and follows the task later', async () => {
      const out = await cli.out('instance', 'create', 'later', '--no-wait');
      const [, id = ''] = /copse task follow ([0-9a-f-]{36})/.exec(out) ?? [];
      expect(await cli.out('task', 'follow', id)).to.equal('instance.create has succeeded.\n');
      expect(await cli.out('task', 'show', id, '-o', 'template={{status}}')).to.equal('succeeded\n');
      await cli.out('instance', 'delete', 'later', '--yes');
    });

    it('leaves the task alone on Ctrl-C, and says how to come back', async () => {
      await cli.out('admin', 'flags', 'instance.create=off');
      const result = await cli.run(['instance', 'create', 'slow'], {
        onStderr: (text, child) =>
          !child.killed && text.includes('instance.create: pending') && child.kill('SIGINT'),
      });
      expect(result.status).to.equal(130);
      const [, id = ''] = /copse task follow ([0-9a-f-]{36})/.exec(result.stderr) ?? [];
      await cli.out('admin', 'flags', 'instance.create=on');
      await cli.out('task', 'follow', id);
      await cli.out('instance', 'delete', 'slow', '--yes');
    });

    it('aborts and restarts tasks; a task that fails has its own exit code', async () => {
      await cli.out('admin', 'flags', 'instance.create=off');
      const out = await cli.out('instance', 'create', 'held', '--no-wait');
      const [, id = ''] = /copse task follow ([0-9a-f-]{36})/.exec(out) ?? [];
      const late = await cli.run(['task', 'follow', id, '--timeout', '0']);
      expect(late.status).to.equal(124);
      expect(await cli.out('task', 'abort', id)).to.equal('The task is cancelled.\n');
      const failed = await cli.run(['task', 'follow', id]);
      expect(failed.status).to.equal(7);
      expect(failed.stderr).to.contain('was cancelled').and.to.contain(`copse task restart ${id}`);
      await cli.out('admin', 'flags', 'instance.create=on');
      await cli.out('task', 'restart', id);
      const { body } = await server.client.get<Task>(`/api/v2/tasks/${id}`);
      expect(body.status).to.equal('succeeded');
      await cli.out('instance', 'delete', 'held', '--yes');
    });

    it('follows events as they happen', async () => {
      let seen = '';
      const following = cli.run(
        ['event', 'follow', '--after', '0', '--type', 'instance.created', '-o', 'json'],
        {
          onStdout: (text, child) => (seen += text).includes('"followed"') && child.kill('SIGTERM'),
        },
      );
      await cli.out('instance', 'create', 'followed');
      const { stdout } = await following;
      const last = stdout.trim().split('\n').at(-1) ?? '';
      expect(JSON.parse(last)).to.include({ type: 'instance.created' });
      await cli.out('instance', 'delete', 'followed', '--yes');
    });
  });

  describe('of contexts', () => {
    it('keeps sites with their keys in a file for the owner only, and uses the chosen one', async () => {
      const home = join(folder, 'contexts');
      const own = new Cli(home);
      const add = await own.run(['context', 'add', 'lab', '--url', server.url, '--key-file', '-'], {
        input: adminKey,
      });
      expect(add.status, add.stderr).to.equal(0);
      const file = join(home, 'copse', 'contexts.json');
      expect(statSync(file).mode & 0o777).to.equal(0o600);
      expect(await own.out('project', 'list', '-o', 'name')).to.equal('default\n');
      await own.out('context', 'add', 'other', '--url', 'http://127.0.0.1:1');
      expect(await own.out('context', 'list', '--columns', 'name,current')).to.match(/^lab +\*$/m);
      await own.out('context', 'use', 'other');
      expect((await own.run(['project', 'list'], { environment: { COPSE_API_KEY: 'k' } })).status).to.equal(
        6,
      );
      expect(await own.out('project', 'list', '-o', 'name', '--context', 'lab')).to.equal('default\n');
      expect((await own.run(['project', 'list', '--context', 'lob'])).stderr).to.contain('Did you mean lab?');
      await own.out('context', 'remove', 'other');
      expect(await own.out('context', 'list', '-o', 'csv')).not.to.contain('other');
      expect(readFileSync(file, 'utf8')).to.contain(adminKey);
      chmodSync(file, 0o644);
      const open = await own.run(['project', 'list']);
      expect(open.status).to.equal(3);
      expect(open.stderr).to.contain('chmod 600');
    });

    it('finds the key of the local server by itself', async () => {
      const local = new Cli(join(folder, 'local'));
      const place = { COPSE_DATA_DIR: join(folder, 'data'), COPSE_SERVER_PORT: new URL(server.url).port };
      const { stdout } = await local.run(['user', 'show', '-o', 'name'], { environment: place });
      expect(stdout).to.equal('admin\n');
      const without = await local.run(['user', 'show'], {
        cwd: join(folder, 'home'),
        environment: { COPSE_SERVER_PORT: '1' },
      });
      expect(without.status).to.equal(3);
      expect(without.stderr).to.contain('COPSE_API_KEY');
    });
  });
});
