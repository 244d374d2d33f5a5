/** A data folder that was used by two users: what one left, the other cannot read. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'chai';
import type { Answer, AskedCall } from '../../support/region-asker.js';
import { idleImages } from '../../support/idle-guest.js';
import { RegionBench } from '../../support/region-bench.js';
import { patient, skipLoudly } from '../../support/region.js';

const suite = 'local region: after a run as another user';
const isRoot = process.getuid?.() === 0;
if (!isRoot) process.stderr.write(`\n!!! NOT TESTED: ${suite}\n!!! it needs root\n\n`);

(!isRoot || skipLoudly(suite) ? describe.skip : describe)(suite, function () {
  this.timeout(120_000);
  const nobody = 65_534;
  let bench: RegionBench;

  beforeEach(async () => {
    bench = new RegionBench({ stopDeadline: 1, imageDir: idleImages() });
    await bench.open();
  });
  afterEach(async () => {
    await bench.close();
  });

  /** Hands over the folder, as far as the servers in it. */
  const giveAway = (): void => {
    chmodSync(bench.folder, 0o755);
    for (const path of [bench.dataDir, join(bench.dataDir, 'servers'), join(bench.dataDir, 'images')])
      chownSync(path, nobody, nobody);
  };
  const ask = async (calls: AskedCall[]): Promise<Answer[]> => {
    const { log: _, ...options } = bench.options();
    const script = join(import.meta.dirname, '..', '..', 'support', 'region-asker.js');
    const child = spawn(process.execPath, [script, JSON.stringify(options), JSON.stringify(calls)], {
      stdio: ['ignore', 'pipe', 'inherit'],
      uid: nobody,
      gid: nobody,
    });
    const answers: Answer[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => answers.push(JSON.parse(line) as Answer));
    await once(child, 'close');
    return answers;
  };

  it('a server is told as unreadable, not as damaged, and a delete does not lose its machine', async () => {
    const id = await bench.ensure();
    const machines = bench.machines(id);
    await bench.region.close();
    giveAway();
    const verbs = ['describe', 'start', 'stop', 'delete', 'describe'] as const;
    const [opened, described, ...others] = await ask(verbs.map((verb) => ({ verb, id })));
    expect(opened).to.deep.equal({ verb: 'open' });
    expect(JSON.stringify(described?.result))
      .to.match(/"Error".*permission denied/)
      .and.not.match(/damaged/);
    const again = others.pop();
    expect(again?.result).to.deep.equal(described?.result);
    expect(others.map(({ kind }) => kind)).to.deep.equal(['transient', 'transient', 'transient']);
    for (const { message } of others) expect(message).to.match(/permission denied/);
    expect(bench.machines(id)).to.deep.equal(machines);
    await bench.open();
    expect(await bench.stateOf(id)).to.equal('Running');
    expect(bench.machines(id)).to.deep.equal(machines);
    await bench.region.deleteServer(id, patient());
    expect(bench.machines(id)).to.deep.equal([]);
  });

  it('a delete is refused while a process of that name runs where one may not see it', async () => {
    const id = await bench.ensure();
    await bench.region.stopServer(id, patient());
    await bench.region.close();
    giveAway();
    const folder = bench.serverFolder(id);
    for (const path of [folder, ...readdirSync(folder).map((name) => join(folder, name))])
      chownSync(path, nobody, nobody);
    const other = spawn('/bin/sleep', ['600'], { argv0: `guest=${id}`, cwd: bench.folder, stdio: 'ignore' });
    await once(other, 'spawn');
    try {
      const [, refused] = await ask([{ verb: 'delete', id }]);
      expect(refused).to.have.property('kind', 'transient');
      expect(refused?.message).to.match(/may be the machine, cannot be examined: permission denied/);
      expect(existsSync(folder)).to.equal(true);
    } finally {
      const end = once(other, 'exit');
      other.kill('SIGKILL');
      await end;
    }
    expect((await ask([{ verb: 'delete', id }])).at(1)).to.deep.equal({ verb: 'delete' });
    expect(existsSync(folder)).to.equal(false);
  });
});
