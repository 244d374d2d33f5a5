/** What happens to a machine while its server process lives. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { readProcessStat } from '../../../src/platform/process-stat.js';
import type { ServerRequest } from '../../../src/region/provider.js';
import { RegionBench } from '../../support/region-bench.js';
import { argumentsOf, failureOf, patient, rejectionOf, skipLoudly, waitFor } from '../../support/region.js';

const suite = 'local region: life';

(skipLoudly(suite) ? describe.skip : describe)(suite, function () {
  this.timeout(120_000);
  let bench: RegionBench;

  const start = async (...change: ConstructorParameters<typeof RegionBench>): Promise<void> => {
    bench = new RegionBench(...change);
    await bench.open();
  };

  afterEach(async () => {
    await bench.close();
  });

  it('starts a guest again that reboots, and runs its user data only once', async () => {
    await start();
    const id = await bench.ensure('#!/bin/sh\nreboot\n');
    const [pid] = bench.machines(id);
    await bench.waitConsole(id, `(was ${id})`);
    await bench.waitConsole(id, 'login:');
    await bench.waitState(id, 'Running');
    expect(bench.machines(id)).to.have.length(1).and.not.include(pid);
  });

  it('takes a guest that shuts down for stopped', async () => {
    await start();
    const id = await bench.ensure('#!/bin/sh\npoweroff\n');
    await bench.waitState(id, 'Stopped');
    expect(await bench.messageOf(id)).to.equal(undefined);
    expect(bench.machines(id)).to.deep.equal([]);
  });

  it('calls a machine that is killed an error, from which start and stop both lead on', async () => {
    await start();
    const id = await bench.ensure();
    for (const pid of bench.machines(id)) process.kill(pid, 'SIGKILL');
    await bench.waitState(id, 'Error');
    expect(await bench.region.startServer(id, patient())).to.include({ powerState: 'Running' });
    for (const pid of bench.machines(id)) process.kill(pid, 'SIGKILL');
    await bench.waitState(id, 'Error');
    expect(await bench.region.stopServer(id, patient())).to.include({ powerState: 'Stopped' });
  });

  it('calls a panicked guest an error, from which a reboot leads on', async () => {
    await start();
    const id = await bench.ensure('#!/bin/sh\necho c > /proc/sysrq-trigger\n');
    await bench.waitState(id, 'Error');
    expect(await bench.messageOf(id)).to.equal('The kernel of the guest panicked.');
    await bench.open();
    expect(await bench.stateOf(id)).to.equal('Error');
    expect(await bench.region.rebootServer(id, { hard: false }, patient())).to.include({
      powerState: 'Running',
    });
    expect(bench.machines(id)).to.have.length(1);
  });

  it('kills a machine that does not even hear its monitor', async () => {
    await start();
    const id = await bench.ensure();
    for (const pid of bench.machines(id)) process.kill(pid, 'SIGSTOP');
    expect(await bench.region.stopServer(id, patient())).to.include({ powerState: 'Stopped' });
    expect(bench.machines(id)).to.deep.equal([]);
  });

  it('cuts the power of a guest that does not shut down in time', async () => {
    await start({ stopDeadline: 1 });
    const id = await bench.ensure();
    expect(await bench.region.stopServer(id, patient())).to.include({ powerState: 'Stopped' });
    expect(bench.machines(id)).to.deep.equal([]);
  });

  it('lets a stop and a delete overtake a start that waits for its place', async () => {
    await start({ startWidth: 1 });
    await bench.ensure();
    const [second, third] = [await bench.request(), await bench.request()];
    const overtaken = [second, third].map((request) =>
      failureOf(bench.region.ensureServer(request, patient())),
    );
    await bench.waitState(second.id, 'Queued');
    await bench.waitState(third.id, 'Queued');
    expect(await bench.region.stopServer(second.id, patient())).to.include({ powerState: 'Stopped' });
    await bench.region.deleteServer(third.id, patient());
    expect(await Promise.all(overtaken)).to.deep.equal(['conflict', 'conflict']);
    expect(await bench.stateOf(second.id)).to.equal('Stopped');
    expect(await bench.stateOf(third.id)).to.equal(undefined);
    expect(bench.machines(second.id)).to.deep.equal([]);
  });

  it('lets a delete overtake a soft stop', async () => {
    await start();
    const id = await bench.ensure();
    const stop = failureOf(bench.region.stopServer(id, patient()));
    await bench.waitState(id, 'Stopping');
    const begin = Date.now();
    await bench.region.deleteServer(id, patient());
    expect(Date.now() - begin).to.be.below(2500);
    expect(await stop).to.equal('conflict');
    expect(readdirSync(join(bench.dataDir, 'servers'))).to.deep.equal([]);
  });

  it('stands back from a stop that its caller gives up', async () => {
    await start();
    const id = await bench.ensure();
    const abort = new AbortController();
    const stop = rejectionOf(bench.region.stopServer(id, abort.signal));
    await bench.waitState(id, 'Stopping');
    const reason = new Error('lost the lease');
    abort.abort(reason);
    expect(await stop).to.equal(reason);
    await bench.waitState(id, 'Running');
    // Nothing is owed: the next process leaves it on, too.
    await waitFor('the wish is put back', () => {
      const { wanted, rebooting, powerState } = bench.record(id);
      return wanted === 'running' && rebooting === false && powerState === 'Running';
    });
    const before = bench.machines(id);
    await bench.open();
    expect(await bench.stateOf(id)).to.equal('Running');
    expect(await bench.region.startServer(id, patient())).to.include({ powerState: 'Running' });
    expect(bench.machines(id)).to.have.length(1).and.deep.equal(before);
  });

  it('lets a stop overtake a soft reboot, and stays stopped, also for the next process', async () => {
    await start({ stopDeadline: 5 });
    const id = await bench.ensure();
    const reboot = failureOf(bench.region.rebootServer(id, { hard: false, request: 'one' }, patient()));
    await bench.waitState(id, 'Stopping');
    expect(await bench.region.stopServer(id, patient())).to.include({ powerState: 'Stopped' });
    expect(await reboot).to.equal('conflict');
    expect(bench.record(id)).to.include({ wanted: 'stopped', rebooting: false, powerState: 'Stopped' });
    expect(bench.machines(id)).to.deep.equal([]);
    await bench.open();
    expect(await bench.stateOf(id)).to.equal('Stopped');
    expect(bench.machines(id)).to.deep.equal([]);
  });

  it('leaves no file and no process behind a delete', async () => {
    await start();
    const id = await bench.ensure();
    const [pid] = bench.machines(id);
    expect(statSync(bench.serverFolder(id)).mode & 0o777).to.equal(0o700);
    await bench.region.deleteServer(id, patient());
    expect(readdirSync(join(bench.dataDir, 'servers'))).to.deep.equal([]);
    expect(readProcessStat(pid ?? 0)).to.equal(undefined);
  });

  it('puts nothing that a user wrote on the command line', async () => {
    await start();
    const secret: ServerRequest = {
      ...(await bench.request('#!/bin/sh\necho usertext\n')),
      hostname: 'userhost',
      tags: [{ name: 'usertag', value: 'uservalue' }],
    };
    await bench.region.ensureServer(secret, patient());
    const [pid] = bench.machines(secret.id);
    const line = argumentsOf(pid ?? 0).join(' ');
    expect(line)
      .to.include(`guest=${secret.id}`)
      .and.not.match(/user(text|host|tag|value)/);
    await bench.waitConsole(secret.id, 'userhost login:');
  });

  it('loses no byte of the console when it rotates, and keeps no more than the limit', async () => {
    const consoleLimit = 64 << 10;
    await start({ consoleLimit });
    const lines = 3000;
    const script = `BEGIN { for (i = 1; i <= ${lines}; i++) printf "line %06d of the guest to count\\n", i }`;
    const id = await bench.ensure(`#!/bin/sh\nawk '${script}' > /dev/console\n`);
    await bench.waitConsole(id, 'user-data: exit 0');
    await waitFor(
      'the log has rotated',
      () => readdirSync(bench.serverFolder(id)).includes('console.log.1'),
      5000,
    );
    const text = await bench.console(id);
    expect(Buffer.byteLength(text)).to.be.at.most(consoleLimit);
    const seen = [...text.matchAll(/line 0*(\d+) of the guest to count/g)].map((match) => Number(match[1]));
    expect(seen.at(-1)).to.equal(lines);
    expect(seen.length).to.be.above(500);
    expect(seen).to.deep.equal(Array.from(seen, (_, index) => lines - seen.length + 1 + index));
    const files = readdirSync(bench.serverFolder(id)).filter((name) => name.startsWith('console.log'));
    const bytes = files.reduce((sum, name) => sum + statSync(join(bench.serverFolder(id), name)).size, 0);
    expect(bytes).to.be.below(consoleLimit * 2);
  });

  it('refuses an id that is no UUID', async () => {
    await start();
    for (const id of ['', '..', '../../etc', 'name', '018F0000-0000-7000-8000-000000000001']) {
      expect(await failureOf(bench.region.deleteServer(id, patient()))).to.equal('terminal');
      expect(await failureOf(bench.region.startServer(id, patient()))).to.equal('terminal');
    }
  });
});
