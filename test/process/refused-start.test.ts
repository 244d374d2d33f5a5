/** A start that is refused for its configuration leaves nothing behind: no folder, no database, no key. */
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { eventually } from '../support/eventually.js';
import { mainFile, temporaryFolder } from '../support/process.js';

describe('a command about a store with a password', function () {
  this.timeout(60_000);

  it('does not show it in the list of processes, nor where it fails', async () => {
    // Nobody listens there; the driver tries for some seconds.
    const address = 'mongodb://root:hunter2@127.0.0.1:9/copse';
    const child = spawn(process.execPath, [mainFile, 'store', 'copy', address, 'sqlite::memory:']);
    let said = '';
    child.stderr.on('data', (chunk) => (said += String(chunk)));
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const commandLine = () => readFileSync(`/proc/${child.pid ?? 0}/cmdline`, 'utf8');
    await eventually(() => !commandLine().includes('hunter2'), { within: 20_000 });
    expect(commandLine()).to.match(/^copse\0*$/);
    expect(await ended).to.equal(1);
    expect(said)
      .to.include('mongodb://127.0.0.1:9/copse')
      .and.not.to.match(/hunter2|root/);
  });
});

describe('a start', function () {
  this.timeout(120_000);
  let folder: string;
  beforeEach(() => {
    folder = temporaryFolder();
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function start(environment: Record<string, string>, ...args: string[]) {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('COPSE_'));
    const env = { ...Object.fromEntries(inherited), COPSE_SERVER_PORT: '0', ...environment };
    const all = [mainFile, 'serve', '--region', 'simulated', ...args];
    return spawnSync(process.execPath, all, { env, cwd: folder, encoding: 'utf8', timeout: 60_000 });
  }

  it('is refused for a wrong value with the option and the reason, and nothing is written', () => {
    const values: [Record<string, string>, RegExp][] = [
      [
        { COPSE_SERVER_PUBLIC_URL: 'http://e.com:99999' },
        /server\.publicUrl must .*its port is not between 0 and 65535/,
      ],
      [{ COPSE_SERVER_PUBLIC_URL: 'http://a b/' }, /server\.publicUrl must /],
      [{ COPSE_SERVER_PORT: 'abc' }, /server\.port must be integer .*\(is "abc"\)/],
      [{ COPSE_SERVER_HOST: '203.0.113.7' }, /server\.host, server\.port: listen EADDRNOTAVAIL/],
      [
        { COPSE_WORKER_LISTEN: 'true', COPSE_WORKER_HOST: '203.0.113.7' },
        /worker\.host, worker\.port: listen/,
      ],
      [
        { COPSE_STORE: 'mongodb://root:hunter2@a:99999999/x' },
        /store: mongodb:\/\/a:99999999\/x is not a valid connection string/,
      ],
      [
        { COPSE_STORE: 'mongodb://root:hunter2@h/a.b' },
        /store: mongodb:\/\/h\/a\.b is not a valid connection string/,
      ],
      [
        { COPSE_STORE: 'mongodb://root:hunter2@h/?nonsense=1' },
        /store: mongodb:\/\/h.* is not a valid connection string/,
      ],
      [
        { COPSE_STORE: 'sqlite:/absent/copse.sqlite' },
        /store: \/absent cannot be used by this user \(ENOENT\)/,
      ],
    ];
    for (const [environment, message] of values) {
      const { status, stdout, stderr } = start(environment);
      expect([status, stdout], stderr).to.deep.equal([1, '']);
      expect(stderr)
        .to.match(message)
        .and.not.to.match(/hunter2|root|First run/);
      expect(readdirSync(folder), JSON.stringify(environment)).to.deep.equal([]);
    }
  });

  it('is refused for a path that cannot be used, and nothing is written', () => {
    writeFileSync(join(folder, 'file'), '');
    mkdirSync(join(folder, 'taken', 'copse.sqlite'), { recursive: true });
    mkdirSync(join(folder, 'key', 'admin.key'), { recursive: true });
    symlinkSync('loop', join(folder, 'loop'));
    const before = () => readdirSync(folder, { recursive: true });
    const known = before();
    const paths: [string[], Record<string, string>, RegExp][] = [
      [['--data-dir', 'file'], {}, /dataDir: .*file is not a folder/],
      [['--data-dir', 'file/below/it'], {}, /dataDir: .*file.* (is not a folder|cannot be used .*ENOTDIR)/],
      [['--data-dir', '/proc/absent/data'], {}, /dataDir: \/proc\/absent cannot be created \(ENOENT\)/],
      [['--data-dir', 'loop'], {}, /dataDir: .*loop cannot be used by this user \(ELOOP\)/],
      [['--data-dir', 'taken'], {}, /store: .*copse\.sqlite is not a file/],
      [['--data-dir', 'key'], {}, /dataDir: .*admin\.key is not a file/],
      [
        ['--region', 'local'],
        { COPSE_LOCAL_IMAGE_DIR: 'absent' },
        /local\.imageDir: .*absent cannot be used .*ENOENT/,
      ],
      [['--region', 'local'], { COPSE_LOCAL_IMAGE_DIR: 'file' }, /local\.imageDir: .*file is not a folder/],
    ];
    for (const [args, environment, message] of paths) {
      const { status, stdout, stderr } = start(environment, ...args);
      expect([status, stdout], stderr).to.deep.equal([1, '']);
      expect(stderr).to.match(message).and.not.to.include('First run');
      expect(before(), args.join(' ')).to.deep.equal(known);
    }
  });

  it('is refused for a port that is taken, and no key is made', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const { status, stderr } = start({}, '--port', String(port));
    await new Promise((resolve) => other.close(resolve));
    expect([status, existsSync(join(folder, 'data'))]).to.deep.equal([1, false]);
    expect(stderr).to.contain('EADDRINUSE').and.not.to.contain('First run');
  });
});
