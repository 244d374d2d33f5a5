/** Signals other than SIGTERM (graceful.test.ts), and defects that reach nothing but the process. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import { checkedFetch } from '../support/conform.js';
import { counterIn } from '../support/flood.js';
import {
  adminKey,
  cleanUp,
  offerOf,
  type ServerProcess,
  startServer,
  temporaryFolder,
  until,
} from '../support/process.js';

const args = ['--region', 'simulated'];
const path = '/api/v2/instances';

describe('a running server', function () {
  this.timeout(90_000);
  let dataDir: string;
  let server: ServerProcess;
  beforeEach(() => {
    dataDir = temporaryFolder();
  });
  afterEach(async () => {
    await server.kill('SIGKILL');
    await cleanUp(dataDir);
  });

  const said = (message: string) => server.log.find(({ msg }) => msg === message);
  const strays = async () =>
    counterIn(await (await checkedFetch(`${server.url}/metrics`)).text(), 'copse_stray_failures_total');

  for (const signal of ['SIGHUP', 'SIGQUIT'] as const) {
    it(`ends in order on ${signal}: a waiting request gets its answer`, async () => {
      const environment = { COPSE_SIMULATED_DELAY: '1500', COPSE_SERVER_DRAIN_DELAY: '0.1' };
      server = await startServer({ dataDir, args, environment });
      const spec = await offerOf(server.client, 'sim-linux');
      const answer = checkedFetch(server.url + path, {
        method: 'POST',
        headers: {
          Authorization: `Bearer ${adminKey}`,
          'Content-Type': 'application/json',
          Prefer: 'wait=50',
        },
        body: JSON.stringify({ metadata: { name: 'waits' }, spec }),
      });
      await until('the create to be accepted', 20, async () => {
        const { body } = await server.client.get<Instance[]>(path);
        return body.length === 1 || undefined;
      });
      server.child.kill(signal);
      expect((await answer).status).to.equal(201);
      expect(await server.exit).to.equal(0);
      await until('the end of the log', 5, () => said('stopped'));
      expect(said('stopping; guests keep running')).to.include({ signal });
    });
  }

  it('goes on to end in order when SIGHUP comes again, as from a terminal that closes', async () => {
    // Ready no more, and still serving: so much time for the second one.
    server = await startServer({ dataDir, args, environment: { COPSE_SERVER_DRAIN_DELAY: '2' } });
    server.child.kill('SIGHUP');
    await until('the end to begin', 20, () => said('stopping; guests keep running'));
    server.child.kill('SIGHUP');
    expect(await server.exit).to.equal(0);
    await until('the end of the log', 5, () => said('stopped'));
  });

  it('neither ends nor opens a debugger on the signals by which others open logs anew', async () => {
    server = await startServer({ dataDir, args });
    for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGPIPE'] as const) {
      server.child.kill(signal);
      for (let times = 0; times < 5; times += 1)
        expect((await checkedFetch(`${server.url}/health`)).status, signal).to.equal(200);
    }
    expect(await server.kill('SIGTERM')).to.equal(0);
    expect(server.stderr).to.equal('');
  });

  it('logs and counts a failure that nothing handled and goes on, and ends in order on one that nothing caught', async () => {
    const file = join(import.meta.dirname, '..', 'support', 'stray-failure.js');
    const environment = { NODE_OPTIONS: `--import=${pathToFileURL(file).href}` };
    server = await startServer({ dataDir, args, environment });
    expect(await strays()).to.equal(0);
    server.child.kill('SIGWINCH');
    const line = await until('the rejection in the log', 10, () =>
      said('unhandled promise rejection; the server keeps running'),
    );
    expect(line).to.include({ level: 'error' });
    expect(line['err']).to.include({ message: 'a stray rejection' }).and.to.include.keys('stack');
    expect(await strays()).to.equal(1);
    expect((await server.client.get(path)).status).to.equal(200);

    server.child.kill('SIGURG');
    expect(await server.exit).to.equal(1);
    await until('the end of the log', 5, () => said('stopped'));
    expect(said('uncaught exception; shutting down')).to.include({ level: 'fatal' });
    expect(server.stderr).to.equal('');
  });
});
