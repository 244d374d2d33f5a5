/** What a process finds that comes after one that was killed. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { ServerRequest } from '../../../src/region/provider.js';
import { idleImages } from '../../support/idle-guest.js';
import { RegionBench } from '../../support/region-bench.js';
import { failureOf, patient, skipLoudly, waitFor } from '../../support/region.js';

const suite = 'local region: takeover';

(skipLoudly(suite) ? describe.skip : describe)(suite, function () {
  this.timeout(120_000);
  let bench: RegionBench;

  beforeEach(() => {
    bench = new RegionBench({ imageDir: idleImages() });
  });

  afterEach(async () => {
    await bench.close();
  });

  /** For tests that look into the guest. */
  async function runLinux(): Promise<void> {
    await bench.close();
    bench = new RegionBench();
  }

  /** A server process was killed between a spawn and what it writes down of it; the emulator has no pid file yet. */
  async function spawnedOnly(request: ServerRequest): Promise<number | undefined> {
    const { ended } = bench.spawnServer([request], { qemu: bench.wrapper('kill -9 $PPID') });
    await ended;
    const folder = bench.serverFolder(request.id);
    // The pid file may be written before or after the region looks for it, and so may the process: here, neither is.
    await waitFor('the emulator has a pid file', () => existsSync(join(folder, 'qemu.pid')));
    rmSync(join(folder, 'qemu.pid'));
    const { process: _, ...record } = bench.record(request.id);
    expect(record).to.include({ id: request.id, powerState: 'Building', continued: false });
    writeFileSync(join(folder, 'state.json'), JSON.stringify(record));
    expect(bench.machines(request.id)).to.have.length(1);
    return bench.machines(request.id)[0];
  }

  it('ends a machine whose process was spawned but never written down, when it is told to stop', async () => {
    const request = await bench.request();
    await spawnedOnly(request);
    await bench.open({ stopDeadline: 1 });
    expect(await bench.region.stopServer(request.id, patient())).to.include({ powerState: 'Stopped' });
    expect(bench.machines(request.id)).to.deep.equal([]);
  });

  it('adopts a machine whose process was spawned but never written down', async () => {
    const request = await bench.request();
    const pid = await spawnedOnly(request);
    await bench.open();
    await bench.waitState(request.id, 'Running');
    expect(await bench.region.ensureServer(request, patient())).to.include({ powerState: 'Running' });
    expect(bench.machines(request.id)).to.deep.equal([pid]);
    await bench.waitConsole(request.id, 'login:');
  });

  it('adopts a machine that was written down but never continued', async () => {
    const request = await bench.request();
    const { ended } = bench.spawnServer([request], { qemu: bench.wrapper('sleep 0.5; kill -9 $PPID') });
    await ended;
    expect(bench.record(request.id)).to.include({ powerState: 'Building' }).and.have.property('process');
    const [pid] = bench.machines(request.id);
    await bench.open();
    await bench.waitState(request.id, 'Running');
    expect(bench.machines(request.id)).to.deep.equal([pid]);
  });

  it('has one machine and no more, at whatever moment of a creation its process is killed', async () => {
    for (let ms = 0; ms < 180; ms += 20) {
      const request = await bench.request();
      const { child, ended, lines } = bench.spawnServer([request]);
      await waitFor('the server process is ready', () => lines.length > 0, 20_000, 1);
      setTimeout(() => child.kill('SIGKILL'), ms);
      await ended;
      await bench.open();
      const observation = await bench.region.ensureServer(request, patient());
      expect(observation, `killed after ${ms} ms`).to.include({ powerState: 'Running' });
      expect(bench.machines(request.id), `killed after ${ms} ms`).to.have.length(1);
      await bench.region.deleteServer(request.id, patient());
      expect(readdirSync(join(bench.dataDir, 'servers')), `killed after ${ms} ms`).to.deep.equal([]);
      await bench.region.close();
    }
  });

  it('does a creation again that was killed before there was a record', async () => {
    await runLinux();
    const request = await bench.request();
    await bench.open();
    await bench.region.close();
    const folder = bench.serverFolder(request.id);
    mkdirSync(join(folder, 'seed.tmp'), { recursive: true });
    writeFileSync(join(folder, 'disk.qcow2.tmp'), 'half a disk');
    writeFileSync(join(folder, 'seed.iso'), 'half a seed');
    await bench.open();
    expect(await bench.region.describeServers(undefined, patient())).to.deep.equal([]);
    expect(await bench.region.ensureServer(request, patient())).to.include({ powerState: 'Running' });
    await bench.waitConsole(request.id, `instance ${request.id}`);
  });

  it('adopts one that runs, and starts one that waited in the queue', async () => {
    const [first, second] = [await bench.request(), await bench.request()];
    const { child, ended, lines } = bench.spawnServer([first, second], { startWidth: 1 });
    const said = (id: string, powerState: string): boolean =>
      lines.some((line) => line === JSON.stringify({ id, powerState }));
    await waitFor('one runs and one waits', () => {
      const states = [first, second].map(({ id }) => said(id, 'Running'));
      return states.includes(true) && said(first.id, 'Queued') && said(second.id, 'Queued');
    });
    child.kill('SIGKILL');
    await ended;
    const before = [...bench.machines(first.id), ...bench.machines(second.id)];
    expect(before).to.have.length(1);
    await bench.open();
    await bench.waitState(first.id, 'Running');
    await bench.waitState(second.id, 'Running');
    const after = [...bench.machines(first.id), ...bench.machines(second.id)];
    expect(after).to.have.length(2).and.include(before[0]);
  });

  it('finishes a stop that was under way', async () => {
    await runLinux();
    await bench.open();
    const id = await bench.ensure();
    await bench.waitConsole(id, 'login:');
    const stop = bench.region.stopServer(id, patient());
    const failure = failureOf(stop);
    await bench.waitState(id, 'Stopping');
    await bench.region.close();
    expect(await failure).to.equal('transient');
    await bench.open();
    expect(await bench.region.stopServer(id, patient())).to.include({ powerState: 'Stopped' });
    expect(bench.machines(id)).to.deep.equal([]);
  });

  it('starts a guest again that rebooted while nobody was there', async () => {
    await runLinux();
    const request = await bench.request('#!/bin/sh\nreboot\n');
    await bench.open();
    await bench.region.ensureServer(request, patient());
    await bench.region.close();
    await waitFor('the machine has ended', () => bench.machines(request.id).length === 0);
    await bench.open();
    await bench.waitState(request.id, 'Running');
    await bench.waitConsole(request.id, `(was ${request.id})`);
    expect(bench.machines(request.id)).to.have.length(1);
  });

  it('tells a guest that shut down from one that was killed, both while nobody was there', async () => {
    await runLinux();
    await bench.open();
    const [off, killed] = [await bench.ensure('#!/bin/sh\npoweroff\n'), await bench.ensure()];
    await bench.region.close();
    for (const pid of bench.machines(killed)) process.kill(pid, 'SIGKILL');
    await waitFor('both have ended', () => bench.machines(off).length + bench.machines(killed).length === 0);
    await bench.open();
    await bench.waitState(off, 'Stopped');
    await bench.waitState(killed, 'Error');
    expect(await bench.messageOf(killed)).to.equal('The machine ended unexpectedly.');
    expect(await bench.region.startServer(killed, patient())).to.include({ powerState: 'Running' });
  });

  it('refuses a folder that another process serves, and takes one that a killed process left', async () => {
    const { child, lines, ended } = bench.spawnServer([]);
    await waitFor('the other process is there', () => lines.length > 0);
    expect(await failureOf(bench.make().open())).to.equal('terminal');
    child.kill('SIGKILL');
    await ended;
    await bench.open();
  });

  it('shows a server whose record is damaged, so that it can be deleted', async () => {
    await bench.open();
    const id = await bench.ensure();
    await bench.region.close();
    writeFileSync(join(bench.serverFolder(id), 'state.json'), '{"format":1');
    await bench.open();
    expect(await bench.stateOf(id)).to.equal('Error');
    expect(await failureOf(bench.region.startServer(id, patient()))).to.equal('terminal');
    await bench.region.deleteServer(id, patient());
    expect(bench.machines(id)).to.deep.equal([]);
    expect(readdirSync(join(bench.dataDir, 'servers'))).to.deep.equal([]);
  });

  it('removes what an interrupted delete left', async () => {
    await bench.open();
    await bench.region.close();
    const servers = join(bench.dataDir, 'servers');
    mkdirSync(join(servers, '.deleted-something', 'deep'), { recursive: true });
    await bench.open();
    expect(readdirSync(servers)).to.deep.equal([]);
    rmSync(servers, { recursive: true });
  });
});
