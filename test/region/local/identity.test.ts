/** A pid is no identity: who adopts or ends a machine proves whose it is. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLog } from '../../../src/model/log.js';
import { Emulator } from '../../../src/region/local/emulator.js';
import { LocalRegion } from '../../../src/region/local/index.js';
import {
  findEmulator,
  hostBootId,
  identify,
  isAlive,
  killEmulator,
  type ProcessIdentity,
  waitGone,
} from '../../../src/region/local/process-identity.js';
import { RegionError } from '../../../src/region/provider.js';
import { idleImages } from '../../support/idle-guest.js';
import { RegionBench } from '../../support/region-bench.js';
import {
  failureOf,
  localOptions,
  patient,
  processesIn,
  rejectionOf,
  scratchFolder,
  skipLoudly,
  waitFor,
} from '../../support/region.js';

const suite = 'local region: whose a machine is';

(skipLoudly(suite) ? describe.skip : describe)(suite, function () {
  this.timeout(120_000);
  let bench: RegionBench;
  const others: LocalRegion[] = [];
  const children: ChildProcess[] = [];

  beforeEach(async () => {
    bench = new RegionBench({ stopDeadline: 1, imageDir: idleImages() });
    await bench.open();
  });
  afterEach(async () => {
    for (const region of others.splice(0)) await region.close();
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await bench.close();
  });

  const openAt = async (dataDir: string): Promise<LocalRegion> => {
    const region = new LocalRegion(localOptions(dataDir, { stopDeadline: 1, imageDir: idleImages() }));
    others.push(region);
    await region.open();
    return region;
  };
  const sleeper = async (name: string, cwd: string): Promise<ProcessIdentity> => {
    const child = spawn('/bin/sleep', ['600'], { argv0: name, cwd, stdio: 'ignore' });
    children.push(child);
    await once(child, 'spawn');
    const identity = identify(child.pid ?? 0);
    if (identity === undefined) throw new Error('it ended');
    return identity;
  };
  const setProcess = (id: string, process: ProcessIdentity): void => {
    const path = join(bench.serverFolder(id), 'state.json');
    writeFileSync(path, JSON.stringify({ ...bench.record(id), process }));
  };

  const states: [string, (id: string) => Promise<unknown>][] = [
    ['with its server', () => Promise.resolve()],
    ['after its server was closed', () => bench.region.close()],
  ];
  for (const [when, arrange] of states) {
    it(`is the original's when a copy of the data folder is served, ${when}`, async () => {
      const id = await bench.ensure();
      const machines = bench.machines(id);
      await arrange(id);
      const copy = join(bench.folder, 'copy');
      execFileSync('cp', ['-a', bench.dataDir, copy]);
      const region = await openAt(copy);
      const inCopy = (): number[] => processesIn(join(copy, 'servers', id));
      await waitFor('the copy knows that its machine does not run', async () => {
        const [seen] = await region.describeServers([id], patient());
        return seen?.powerState === 'Error';
      });
      const verbs = [
        () => region.stopServer(id, patient()),
        () => region.startServer(id, patient()),
        () => region.rebootServer(id, { hard: true }, patient()),
        () => region.rebootServer(id, { hard: false }, patient()),
        () => region.stopServer(id, patient()),
        () => region.startServer(id, patient()),
        () => region.deleteServer(id, patient()),
      ];
      for (const [index, verb] of verbs.entries()) {
        await verb();
        expect(bench.machines(id), `after call ${index}`).to.deep.equal(machines);
        expect(inCopy(), `after call ${index}`).to.have.length([0, 1, 1, 1, 0, 1, 0][index] ?? 0);
        for (const pid of inCopy()) expect(machines).not.to.include(pid);
      }
      if (when === 'with its server') {
        expect(await bench.stateOf(id)).to.equal('Running');
      } else {
        await bench.open();
        expect(await bench.stateOf(id)).to.equal('Running');
        expect(bench.machines(id)).to.deep.equal(machines);
      }
    });
  }

  it('is the original’s also for a copy that is damaged, whose delete ends nothing of it', async () => {
    const id = await bench.ensure();
    const machines = bench.machines(id);
    const copy = join(bench.folder, 'copy');
    execFileSync('cp', ['-a', bench.dataDir, copy]);
    writeFileSync(join(copy, 'servers', id, 'state.json'), '{');
    const region = await openAt(copy);
    await region.deleteServer(id, patient());
    expect(bench.machines(id)).to.deep.equal(machines);
    expect(await bench.region.startServer(id, patient())).to.include({ powerState: 'Running' });
    expect(bench.machines(id)).to.deep.equal(machines);
  });

  it('stays the server’s when the data folder is moved while it runs', async () => {
    const id = await bench.ensure();
    const machines = bench.machines(id);
    await bench.region.close();
    const moved = join(bench.folder, 'moved');
    renameSync(bench.dataDir, moved);
    const region = await openAt(moved);
    const inMoved = (): number[] => processesIn(join(moved, 'servers', id));
    expect(inMoved()).to.deep.equal(machines);
    expect((await region.describeServers([id], patient()))[0]).to.include({ powerState: 'Running' });
    expect(await region.stopServer(id, patient())).to.include({ powerState: 'Stopped' });
    expect(inMoved()).to.deep.equal([]);
  });

  it('is not that of the folder’s old place when the folder moved and a copy lies there', async () => {
    const id = await bench.ensure();
    const machines = bench.machines(id);
    await bench.region.close();
    const moved = join(bench.folder, 'moved');
    renameSync(bench.dataDir, moved);
    execFileSync('cp', ['-a', moved, bench.dataDir]);
    await bench.open();
    await bench.region.deleteServer(id, patient());
    expect(processesIn(join(moved, 'servers', id))).to.deep.equal(machines);
    const region = await openAt(moved);
    expect((await region.describeServers([id], patient()))[0]).to.include({ powerState: 'Running' });
  });

  it('is ended by a delete although its folder was removed, and by none when the folder was replaced', async () => {
    const [removed, replaced] = [await bench.ensure(), await bench.ensure()];
    const [first, second] = [removed, replaced].map((id) => identify(bench.machines(id)[0] ?? 0));
    if (first === undefined || second === undefined) throw new Error('there are no machines');
    await bench.region.close();
    execFileSync('cp', ['-a', bench.serverFolder(replaced), join(bench.folder, 'copy')]);
    for (const id of [removed, replaced]) rmSync(bench.serverFolder(id), { recursive: true });
    renameSync(join(bench.folder, 'copy'), bench.serverFolder(replaced));
    try {
      await bench.open();
      await bench.region.deleteServer(removed, patient());
      expect(isAlive(first)).to.equal(false);
      expect(await bench.messageOf(replaced)).to.match(
        /folder was replaced is still running; terminate it on its host/,
      );
      for (const call of [
        bench.region.deleteServer(replaced, patient()),
        bench.region.startServer(replaced, patient()),
      ])
        expect(await failureOf(call)).to.equal('transient');
      expect(isAlive(second)).to.equal(true);
    } finally {
      process.kill(second.pid, 'SIGKILL');
    }
    expect(await waitGone(second, 10_000)).to.equal(true);
    await bench.region.deleteServer(replaced, patient());
  });

  it('is found, and no other process touched, when the record names a process of somebody else', async () => {
    const id = await bench.ensure();
    const machines = bench.machines(id);
    await bench.region.close();
    const elsewhere = join(bench.folder, 'elsewhere');
    mkdirSync(elsewhere);
    // One that lives, one of this name that works elsewhere, one of another name that works here.
    const strangers = [
      await sleeper('sleep', '/'),
      await sleeper(`guest=${id}`, elsewhere),
      await sleeper(`guest=${randomUUID()}`, bench.serverFolder(id)),
    ];
    for (const stranger of strangers) {
      setProcess(id, stranger);
      await bench.open();
      expect(await bench.stateOf(id)).to.equal('Running');
      expect(bench.record(id)).to.have.nested.property('process.pid', machines[0]);
      await bench.region.close();
    }
    setProcess(id, strangers[0] ?? { pid: 2, startTime: '', bootId: '' });
    await bench.open();
    await bench.region.stopServer(id, patient());
    await bench.region.deleteServer(id, patient());
    for (const stranger of strangers) expect(isAlive(stranger)).to.equal(true);
  });

  it('is not read from its pid file', async () => {
    const id = await bench.ensure();
    await bench.region.stopServer(id, patient());
    await bench.region.close();
    const stranger = await sleeper(`guest=${id}`, bench.folder);
    writeFileSync(join(bench.serverFolder(id), 'qemu.pid'), `${stranger.pid}\n`);
    setProcess(id, stranger);
    await bench.open();
    expect(await bench.stateOf(id)).to.equal('Stopped');
    await bench.region.deleteServer(id, patient());
    expect(isAlive(stranger)).to.equal(true);
  });

  it('is known to live by whoever listens on its monitor, where its process cannot be seen', async () => {
    const id = await bench.ensure();
    await bench.region.stopServer(id, patient());
    const listener = createServer();
    const socket = join(bench.serverFolder(id), 'qmp.sock');
    await once(listener.listen(socket), 'listening');
    try {
      expect(await failureOf(bench.region.deleteServer(id, patient()))).to.equal('transient');
    } finally {
      await new Promise((resolve) => listener.close(resolve));
    }
    await bench.region.deleteServer(id, patient());
    expect(await bench.stateOf(id)).to.equal(undefined);
  });
});

describe('local region: proof of a process', () => {
  let folder: string;
  const children: ChildProcess[] = [];
  const servers: Server[] = [];

  beforeEach(() => {
    folder = scratchFolder('proof');
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
    for (const child of children.splice(0)) child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  const sleeper = async (name: string, cwd: string): Promise<ProcessIdentity> => {
    const child = spawn('/bin/sleep', ['600'], { argv0: name, cwd, stdio: 'ignore' });
    children.push(child);
    await once(child, 'spawn');
    const identity = identify(child.pid ?? 0);
    if (identity === undefined) throw new Error('it ended');
    return identity;
  };

  it('takes start time, boot, name and folder, each of which another process may lack', async () => {
    const [here, elsewhere] = [join(folder, 'here'), join(folder, 'elsewhere')];
    for (const path of [here, elsewhere]) mkdirSync(path);
    const guest = { id: 'one', folder: here };
    const ours = await sleeper('guest=one', here);
    const cases: [string, ProcessIdentity][] = [
      ['of another start time', { ...ours, startTime: '1' }],
      ['of another boot', { ...ours, bootId: 'another' }],
      ['of another name', await sleeper('guest=two', here)],
      ['of a longer name', await sleeper('guest=one1', here)],
      ['of another folder', await sleeper('guest=one', elsewhere)],
      ['of a folder below', await sleeper('guest=one', '/')],
    ];
    for (const [what, process] of cases) {
      killEmulator(process, guest);
      expect(isAlive(ours), what).to.equal(true);
      if (process.pid !== ours.pid) expect(isAlive(process), what).to.equal(true);
    }
    expect(findEmulator(guest)).to.deep.equal(ours);
    expect(ours.bootId).to.equal(hostBootId());
    killEmulator(ours, guest);
    expect(await waitGone(ours, 10_000)).to.equal(true);
    expect(findEmulator(guest)).to.equal(undefined);
  });

  it('takes a folder for the same by any path, and for the one that the process works in after a move', async () => {
    const here = join(folder, 'here');
    mkdirSync(here);
    const ours = await sleeper('guest=one', here);
    renameSync(here, join(folder, 'moved'));
    mkdirSync(here);
    expect(findEmulator({ id: 'one', folder: here })).to.equal(undefined);
    expect(findEmulator({ id: 'one', folder: join(folder, 'moved') })).to.deep.equal(ours);
  });

  it('is not enough to end a machine whose monitor tells another name', async () => {
    const identity = await sleeper('guest=one', folder);
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write('{"QMP":{"version":{},"capabilities":[]}}\n');
      socket.on('data', (data) => {
        for (const line of data.toString().trim().split('\n')) {
          const { execute, id } = JSON.parse(line) as { execute: string; id: number };
          socket.write(
            `${JSON.stringify({ return: execute === 'query-name' ? { name: 'two' } : {}, id })}\n`,
          );
        }
      });
    });
    servers.push(server);
    await once(server.listen(join(folder, 'qmp.sock')), 'listening');
    const place = { id: 'one', folder, log: silentLog, onStatus: () => undefined };
    const emulator = new Emulator(place, identity);
    const error = await rejectionOf(emulator.cut());
    emulator.release();
    expect(error).to.be.instanceOf(RegionError).and.have.property('kind', 'transient');
    expect(error)
      .to.have.property('message')
      .that.matches(/the name of another machine/);
    expect(isAlive(identity)).to.equal(true);
  }).timeout(20_000);
});

describe('local region: whose a data folder is', () => {
  it('is nobody’s when it is a copy, and its server’s when it was moved', async () => {
    const { takeFolder } = await import('../../../src/region/local/owner.js');
    const folder = scratchFolder('owner');
    const [one, copy, moved] = ['one', 'copy', 'moved'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    try {
      mkdirSync(one);
      const giveBack = await takeFolder(one, 0);
      execFileSync('cp', ['-a', one, copy]);
      const giveCopyBack = await takeFolder(copy, 0);
      expect(await failureOf(takeFolder(one, 0))).to.equal('terminal');
      expect(await failureOf(takeFolder(copy, 0))).to.equal('terminal');
      renameSync(one, moved);
      expect(await failureOf(takeFolder(moved, 0))).to.equal('terminal');
      // As an older program wrote it.
      const path = join(copy, 'owner.json');
      const { folder: _, ...older } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
      writeFileSync(path, JSON.stringify(older));
      expect(await failureOf(takeFolder(copy, 0))).to.equal('terminal');
      writeFileSync(path, '{"pid":');
      await takeFolder(copy, 0);
      await giveCopyBack();
      await giveBack();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
