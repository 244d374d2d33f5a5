/** A disk that is full for a while: what is refused, what is shown meanwhile, and what is written when there is room again. */
import { join } from 'node:path';
import { expect } from 'chai';
import { FileFaults } from '../../support/file-faults.js';
import { idleImages } from '../../support/idle-guest.js';
import { RegionBench } from '../../support/region-bench.js';
import { patient, rejectionOf, skipLoudly, waitFor } from '../../support/region.js';
import { RegionError } from '../../../src/region/provider.js';

const suite = 'local region: a full disk';
/** What each write of a record begins with. */
const write = 'open state.json.tmp';

(skipLoudly(suite) ? describe.skip : describe)(suite, function () {
  this.timeout(120_000);
  let bench: RegionBench;
  let faults: FileFaults;

  beforeEach(async () => {
    bench = new RegionBench({ stopDeadline: 0, housekeeping: 3600, imageDir: idleImages() });
    await bench.open();
    faults = new FileFaults(join(bench.dataDir, 'servers'));
    faults.install();
  });
  afterEach(async () => {
    faults.restore();
    await bench.close();
  });

  /** Both the record and what is shown, without a verb. */
  async function settles(id: string, powerState: string): Promise<void> {
    await waitFor(`${powerState} is written down`, () => bench.record(id)['powerState'] === powerState);
    expect(await bench.stateOf(id)).to.equal(powerState);
    await bench.open();
    expect(await bench.stateOf(id)).to.equal(powerState);
  }

  // Of each write that an act does: what is shown while the disk is full, and how many machines there are.
  const table = [
    { act: 'stopServer', from: 1, shown: 'Running', machines: 1 },
    { act: 'stopServer', from: 2, shown: 'Stopped', machines: 0 },
    { act: 'startServer', from: 1, shown: 'Stopped', machines: 0 },
    { act: 'startServer', from: 2, shown: 'Error', machines: 0 },
    { act: 'startServer', from: 3, shown: 'Error', machines: 0 },
    { act: 'startServer', from: 4, shown: 'Running', machines: 1 },
  ] as const;
  for (const { act, from, shown, machines } of table) {
    it(`from write ${from} of ${act} on: refused, shown as ${shown}, which is written when there is room`, async () => {
      const id = await bench.ensure();
      if (act === 'startServer') await bench.region.stopServer(id, patient());
      await faults.lasting(write, from, 'ENOSPC', async () => {
        const refusal = await rejectionOf(bench.region[act](id, patient()));
        expect(refusal).to.be.instanceOf(RegionError).and.to.include({ kind: 'transient' });
        expect(String(refusal)).to.include('no space left on device');
        expect(await bench.stateOf(id)).to.equal(shown);
        await waitFor('it is true', () => bench.machines(id).length === machines, 5000);
        // Another try is refused in the same way, and nothing gets stuck.
        expect(await rejectionOf(bench.region[act](id, patient()))).to.be.instanceOf(RegionError);
      });
      const last = (await bench.stateOf(id)) ?? '';
      await settles(id, last);
      expect(await bench.region.stopServer(id, patient())).to.include({ powerState: 'Stopped' });
      expect(await bench.region.startServer(id, patient())).to.include({ powerState: 'Running' });
    });
  }

  it('shows at once that a machine has ended, and writes it down when there is room', async () => {
    const id = await bench.ensure();
    await faults.lasting(write, 1, 'ENOSPC', async () => {
      for (const pid of bench.machines(id)) process.kill(pid, 'SIGKILL');
      await bench.waitState(id, 'Error');
      expect(bench.record(id)).to.include({ powerState: 'Running' });
    });
    await settles(id, 'Error');
  });
});
