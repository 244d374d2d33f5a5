/**
 * What every RegionProvider owes its callers when a file fails under it: each operation that an act does on files fails
 * once, one by one. Whatever fails, the act is refused as worth another try or carried out, what is shown is true, and
 * start, stop and delete lead on; also in the next process.
 */
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import type { RegionProvider, ServerRequest } from '../../../src/region/provider.js';
import { type FaultCode, faultCodes, type Faults } from '../../support/faults.js';
import { failureOf, patient, principal, waitFor } from '../../support/region.js';

export interface FaultHarness {
  name: string;
  /** A provider, not yet open, on the same state each time. */
  make: () => RegionProvider;
  flavor: string;
  image: string;
  faults: Faults & { install(): void; restore(): void };
  /** Machines of the server that there are, whatever the provider says. */
  machines: (id: string) => number;
  /** Everything that there is of stored images. */
  images: () => string[];
  cleanUp: () => Promise<void>;
  /** All codes for each operation; else they take turns. */
  thorough?: boolean;
}

type Act =
  'create' | 'start' | 'stop' | 'soft reboot' | 'hard reboot' | 'snapshot' | 'remove image' | 'delete';
/** What the machine is before the act, and after it. */
const acts: Record<Act, { from: 'absent' | 'Stopped' | 'Running'; to: 'absent' | 'Stopped' | 'Running' }> = {
  create: { from: 'absent', to: 'Running' },
  start: { from: 'Stopped', to: 'Running' },
  stop: { from: 'Running', to: 'Stopped' },
  'soft reboot': { from: 'Running', to: 'Running' },
  'hard reboot': { from: 'Running', to: 'Running' },
  snapshot: { from: 'Running', to: 'Running' },
  'remove image': { from: 'Running', to: 'Running' },
  delete: { from: 'Running', to: 'absent' },
};

export function testRegionFaults(harness: FaultHarness): void {
  const { faults, machines } = harness;
  let region: RegionProvider;
  let server: ServerRequest;
  let imageId = randomUUID();

  before(async () => {
    region = harness.make();
    await region.open();
    const [flavors, images] = [
      await region.listFlavors(principal, patient()),
      await region.listImages(principal, patient()),
    ];
    const flavorId = flavors.find(({ metadata }) => metadata.name === harness.flavor)?.metadata.id ?? '';
    const imageId = images.find(({ metadata }) => metadata.name === harness.image)?.metadata.id ?? '';
    server = { id: randomUUID(), hostname: 'faults', flavorId, imageId, tags: [] };
    faults.install();
  });
  after(async () => {
    faults.restore();
    await region.close().finally(harness.cleanUp);
  });

  const state = async (): Promise<string> =>
    (await region.describeServers([server.id], patient()))[0]?.powerState ?? 'absent';

  async function perform(act: Act): Promise<unknown> {
    const { id } = server;
    switch (act) {
      case 'create':
        return region.ensureServer(server, patient());
      case 'start':
        return region.startServer(id, patient());
      case 'stop':
        return region.stopServer(id, patient());
      case 'soft reboot':
      case 'hard reboot':
        return region.rebootServer(id, { hard: act === 'hard reboot', request: randomUUID() }, patient());
      case 'snapshot':
        return region.snapshotServer(id, { imageId, name: 'faults' }, patient());
      case 'remove image':
        return region.images?.remove(imageId, patient());
      case 'delete':
        return region.deleteServer(id, patient());
    }
  }

  async function bringTo(wanted: 'absent' | 'Stopped' | 'Running'): Promise<void> {
    const now = await state();
    if (now === wanted) return;
    if (wanted === 'absent') await perform('delete');
    else {
      if (now === 'absent') await perform('create');
      await perform(wanted === 'Running' ? 'start' : 'stop');
    }
    await mustBeTrue(wanted);
  }

  /** What is shown is what there is. */
  async function mustBeTrue(wanted?: string): Promise<string> {
    let shown = '';
    // On its way it may be for a moment, but nothing stays so.
    await waitFor(
      `it stays in a state (${wanted ?? 'any'})`,
      async () => {
        shown = await state();
        return ['absent', 'Pending', 'Stopped', 'Running', 'Error'].includes(shown);
      },
      10_000,
      5,
    );
    if (wanted !== undefined) expect(shown).to.equal(wanted);
    // A process that has just ended stays visible for a moment.
    const least = shown === 'Running' ? 1 : 0;
    await waitFor(`${shown} is true`, () => machines(server.id) === least, 10_000);
    return shown;
  }

  async function reopen(): Promise<void> {
    await region.close();
    region = harness.make();
    await region.open();
  }

  /** Before the act. */
  async function prepare(act: Act): Promise<void> {
    await bringTo(acts[act].from);
    imageId = randomUUID();
    if (act === 'remove image') await perform('snapshot');
  }

  async function meet(act: Act, operation: string, code: FaultCode, restart: boolean): Promise<void> {
    await prepare(act);
    let failure: string | undefined;
    const reached = await faults.failing(operation, code, async () => {
      const done = perform(act);
      failure = await done.then(
        () => undefined,
        () => failureOf(done),
      );
    });
    expect(failure, reached ? 'refused' : 'refused without a fault').to.be.oneOf(
      reached ? [undefined, 'transient'] : [undefined],
    );
    const shown = await mustBeTrue(failure === undefined ? acts[act].to : undefined);
    if (restart) {
      await reopen();
      await mustBeTrue(shown);
    }
    // A reboot is half done when the machine is off: what is left of it is a start.
    if (failure !== undefined && act.endsWith('reboot') && shown === 'Stopped') await perform('start');
    else if (failure !== undefined) await perform(act);
    await mustBeTrue(acts[act].to);
    if (act === 'snapshot') {
      expect(harness.images()).to.deep.equal([imageId]);
      await perform('remove image');
    }
    expect(harness.images()).to.deep.equal([]);
    for (const way of ['Stopped', 'Running'] as const) if (act !== 'delete') await bringTo(way);
  }

  for (const act of Object.keys(acts) as Act[]) {
    it(`${act}: whatever file operation fails, it is refused or done, what is shown is true, and verbs lead on`, async () => {
      await prepare(act);
      const operations = await faults.record(() => perform(act));
      expect(operations.length).to.be.above(2);
      await perform('remove image');
      const missed: string[] = [];
      for (const [index, operation] of operations.entries()) {
        const turn = faultCodes[index % faultCodes.length] ?? 'EIO';
        for (const code of harness.thorough === true ? faultCodes : [turn]) {
          try {
            await meet(act, operation, code, index % 3 === 0);
          } catch (error) {
            missed.push(`${act}, ${operation} with ${code}: ${String(error)}`);
            // The next operation finds a region as good as new.
            await reopen();
            await bringTo('absent');
            await perform('remove image');
          }
        }
      }
      expect(missed).to.deep.equal([]);
    }).timeout(harness.thorough === true ? 1_800_000 : 600_000);
  }
}
