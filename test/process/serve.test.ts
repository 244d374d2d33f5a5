import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import { packageRoot } from '../../src/config.js';
import { checkedFetch } from '../support/conform.js';
import {
  adminKey,
  cleanUp,
  createInstance,
  mainFile,
  offerOf,
  ServerProcess,
  startServer,
  temporaryFolder,
  untilPower,
} from '../support/process.js';

const simulated = ['--region', 'simulated'];

function copse(...args: string[]) {
  return spawnSync(process.execPath, [mainFile, ...args], { encoding: 'utf8', timeout: 20_000 });
}

describe('the serve command', function () {
  this.timeout(60_000);
  let dataDir: string;
  beforeEach(() => {
    dataDir = temporaryFolder();
  });
  afterEach(() => cleanUp(dataDir));

  it('picks a free port, says where it listens and answers there', async () => {
    const server = await startServer({ dataDir, args: simulated });
    expect(server.url).to.match(/^http:\/\/127\.0\.0\.1:\d+$/);
    const health = (await (await checkedFetch(`${server.url}/health`)).json()) as { status: string };
    expect(health.status).to.equal('pass');
    expect(await server.kill('SIGTERM')).to.equal(0);
  });

  it('warns of a variable that is no option, names the nearest one and shows no value', async () => {
    const environment = { COPSE_SIMULATED_FAILURERATE: 'hidden-value' };
    const server = await startServer({ dataDir, args: simulated, environment });
    expect(server.log.find((line) => 'nearest' in line)).to.include({
      variable: 'COPSE_SIMULATED_FAILURERATE',
      nearest: 'COPSE_SIMULATED_FAILURE_RATE',
    });
    expect(JSON.stringify(server.log)).not.to.include('hidden-value');
    expect(await server.kill('SIGTERM')).to.equal(0);
  });

  it('prints the first key once, keeps it in a file for the owner only, and keeps no copy of it in the database', async () => {
    const environment = { COPSE_ADMIN_KEY: '' };
    const first = await startServer({ dataDir, args: simulated, environment });
    const file = join(dataDir, 'admin.key');
    const key = readFileSync(file, 'utf8').trim();
    expect(statSync(file).mode & 0o777).to.equal(0o600);
    expect(first.stderr).to.contain(key);
    expect(JSON.stringify(first.log)).not.to.contain(key);
    const answer = await checkedFetch(`${first.url}/api/version`, {
      headers: { Authorization: `Bearer ${key}` },
    });
    expect(answer.status).to.equal(200);
    await first.kill('SIGTERM');
    expect(readFileSync(join(dataDir, 'copse.sqlite')).includes(key)).to.equal(false);

    const second = await startServer({ dataDir, args: simulated, environment });
    expect(second.stderr).not.to.contain(key);
    expect(readFileSync(file, 'utf8').trim()).to.equal(key);
    await second.kill('SIGTERM');
  });

  it('keeps all data over a restart, and stops cleanly on Ctrl-C', async () => {
    const first = await startServer({ dataDir, args: simulated });
    const made = await createInstance(first.client, 'keeper', await offerOf(first.client, 'sim-linux'));
    await untilPower(first.client, made.metadata.id, 'Running');
    expect(await first.kill('SIGINT')).to.equal(0);

    const second = await startServer({ dataDir, args: simulated });
    const { body } = await second.client.get<Instance>(`/api/v2/instances/${made.metadata.id}`);
    expect(body.metadata.name).to.equal('keeper');
    expect(body.status.powerState).to.equal('Running');
    await second.kill('SIGTERM');
  });

  it('takes its options from a file, the environment and flags, in this order', async () => {
    const server = await startServer({
      dataDir,
      args: [...simulated, '--host', '127.0.0.1'],
      environment: {
        COPSE_SERVER_HOST: '203.0.113.1',
        COPSE_SERVER_PUBLIC_URL: 'https://api.example.com/base/',
      },
    });
    const answer = await checkedFetch(`${server.url}/api/v2/instances`, {
      headers: { Authorization: `Bearer ${adminKey}` },
    });
    expect(answer.headers.get('link')).to.equal(
      '<https://api.example.com/base/api/v2/instances?limit=100>; rel="first"',
    );
    await server.kill('SIGTERM');
  });

  it('does not start with a wrong value, and names the key and what it accepts', async () => {
    const server = new ServerProcess({ dataDir, args: simulated, environment: { COPSE_LOG_LEVEL: 'loud' } });
    expect(await server.exit).to.equal(1);
    expect(server.stderr).to.match(
      /log\.level must be one of fatal, error, warn, info, debug, trace, silent \(is "loud"\)/,
    );
  });

  it('does not start when its port is taken, and says so', async () => {
    const first = await startServer({ dataDir, args: simulated });
    const other = temporaryFolder();
    const second = new ServerProcess({
      dataDir: other,
      args: [...simulated, '--port', new URL(first.url).port],
    });
    expect(await second.exit).to.equal(1);
    expect(second.stderr).to.contain('EADDRINUSE');
    await first.kill('SIGTERM');
    await cleanUp(other);
  });

  it('is that of the sources that these tests were compiled with, not of a dist that may be older', () => {
    expect(mainFile).to.equal(join(packageRoot(), 'build', 'src', 'main.js'));
    expect(import.meta.dirname).to.equal(join(packageRoot(), 'build', 'test', 'process'));
  });

  it('explains itself', () => {
    const help = copse('serve', '--help');
    expect(help.status).to.equal(0);
    for (const option of ['--config', '--port', '--data-dir', '--region', '--host'])
      expect(help.stdout).to.contain(option);
    const wrong = copse('serve', '--regoin', 'simulated');
    expect(wrong.status).to.equal(2);
    expect(wrong.stderr).to.contain("unknown option '--regoin'").and.to.contain('--region');
  });
});
