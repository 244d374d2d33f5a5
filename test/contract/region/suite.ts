/** What every RegionProvider owes its callers: the contract of src/region/provider.ts, clause by clause. */
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import type { RegionProvider, ServerEvent, ServerRequest } from '../../../src/region/provider.js';
import { failureOf, patient, principal, rejectionOf, waitFor } from '../../support/region.js';
import { testSnapshots } from './snapshots.js';
import { testResize } from './resize.js';

export interface RegionHarness {
  name: string;
  /** A provider, not yet open, on the same state each time. */
  make: () => RegionProvider;
  /** Names of a flavor that fits an image, and of one that has too little memory for it. */
  flavor: string;
  tooSmall?: string;
  /** A flavor of exactly the memory that the image needs. */
  snug?: string;
  image: string;
  /** A flavor with a larger disk, and how to measure that of a server, if there is one. */
  larger: { name: string; sizeOf?: (id: string) => Promise<number> };
  /** Ends and removes everything. */
  cleanUp: () => Promise<void>;
}

export function testRegionContract(harness: RegionHarness): void {
  let region: RegionProvider;

  const idOf = async (kind: 'flavor' | 'image', name: string): Promise<string> => {
    const list =
      kind === 'flavor'
        ? await region.listFlavors(principal, patient())
        : await region.listImages(principal, patient());
    const found = list.find((one) => one.metadata.name === name);
    if (found === undefined) throw new Error(`${harness.name} has no ${kind} ${name}`);
    return found.metadata.id;
  };
  const request = async (change: Partial<ServerRequest> = {}): Promise<ServerRequest> => ({
    id: randomUUID(),
    hostname: 'contract',
    flavorId: await idOf('flavor', harness.flavor),
    imageId: await idOf('image', harness.image),
    tags: [{ name: 'purpose', value: 'contract' }],
    ...change,
  });
  const stateOf = async (id: string): Promise<string | undefined> =>
    (await region.describeServers([id], patient()))[0]?.powerState;
  const consoleOf = async (id: string): Promise<string> =>
    (await region.consoleOutput(id, {}, patient())).contents;
  const prompts = async (id: string): Promise<number> => (await consoleOf(id)).split('login:').length - 1;
  const reopen = async (): Promise<void> => {
    await region.close();
    region = harness.make();
    await region.open();
  };

  before(async () => {
    region = harness.make();
    await region.open();
  });

  after(async () => {
    try {
      await region.close();
    } finally {
      await harness.cleanUp();
    }
  });

  describe('catalog', () => {
    it('lists flavors by size, with ids that outlive the process', async () => {
      const flavors = await region.listFlavors(principal, patient());
      const sizes = flavors.map(({ spec }) => [spec.cpus, spec.memoryMiB] as const);
      expect(sizes).to.deep.equal(sizes.toSorted((a, b) => a[0] - b[0] || a[1] - b[1]));
      for (const { spec } of flavors) expect(spec.memory).to.equal(Math.ceil(spec.memoryMiB / 1024));
      await reopen();
      expect(await region.listFlavors(principal, patient())).to.deep.equal(flavors);
    });

    it('lists images by name, with ids that outlive the process', async () => {
      const images = await region.listImages(principal, patient());
      const names = images.map(({ metadata }) => metadata.name);
      expect(names).to.include(harness.image).and.deep.equal(names.toSorted());
      await reopen();
      expect(await region.listImages(principal, patient())).to.deep.equal(images);
    });
  });

  describe('a server that cannot be', () => {
    it('is refused for an unknown flavor or image, and leaves nothing', async () => {
      const noFlavor = await request({ flavorId: randomUUID() });
      const noImage = await request({ imageId: randomUUID() });
      expect(await failureOf(region.ensureServer(noFlavor, patient()))).to.equal('not_found');
      expect(await failureOf(region.ensureServer(noImage, patient()))).to.equal('not_found');
      expect(await region.describeServers(undefined, patient())).to.deep.equal([]);
    });

    const { tooSmall } = harness;
    if (tooSmall === undefined) return;
    it('is refused for good when the image does not fit the flavor', async () => {
      const small = await request({ flavorId: await idOf('flavor', tooSmall) });
      expect(await failureOf(region.ensureServer(small, patient()))).to.equal('terminal');
    });
  });

  const { snug } = harness;
  if (snug !== undefined) {
    describe('a server that just fits', () => {
      it('is made on a flavor of exactly the memory that its image needs', async () => {
        const flavorId = await idOf('flavor', snug);
        const [flavor, image] = [
          (await region.listFlavors(principal, patient())).find(({ metadata }) => metadata.id === flavorId),
          (await region.listImages(principal, patient())).find(
            ({ metadata }) => metadata.name === harness.image,
          ),
        ];
        expect(flavor?.spec.memoryMiB).to.be.a('number').and.equal(image?.spec.minMemoryMiB);
        const server = await request({ flavorId });
        expect(await region.ensureServer(server, patient())).to.include({ powerState: 'Running' });
        await region.deleteServer(server.id, patient());
      });
    });
  }

  describe('a server that is absent', () => {
    it('is left out of descriptions', async () => {
      expect(await region.describeServers([randomUUID()], patient())).to.deep.equal([]);
    });

    it('cannot be started, stopped, rebooted or read', async () => {
      const id = randomUUID();
      expect(await failureOf(region.startServer(id, patient()))).to.equal('not_found');
      expect(await failureOf(region.stopServer(id, patient()))).to.equal('not_found');
      expect(await failureOf(region.rebootServer(id, { hard: false }, patient()))).to.equal('not_found');
      expect(await failureOf(region.rebootServer(id, { hard: true }, patient()))).to.equal('not_found');
      expect(await failureOf(region.consoleOutput(id, {}, patient()))).to.equal('not_found');
      expect(await region.describeServers(undefined, patient())).to.deep.equal([]);
    });

    it('is deleted with success', async () => {
      await region.deleteServer(randomUUID(), patient());
    });
  });

  describe('one life', () => {
    let server: ServerRequest;
    /** Bytes that the guest had written to its console before the first reboot. */
    let written: number;

    it('ensures a running server', async () => {
      server = await request({ userData: Buffer.from('#!/bin/sh\necho hello\n') });
      const observation = await region.ensureServer(server, patient());
      expect(observation).to.include({ id: server.id, powerState: 'Running', boots: 1 });
      expect(observation.macAddress).to.match(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
      expect(await region.describeServers([server.id], patient())).to.deep.equal([observation]);
    });

    it('ensures it again without making a second one', async () => {
      const [one, other] = await Promise.all([
        region.ensureServer(server, patient()),
        region.ensureServer(server, patient()),
      ]);
      expect(one).to.deep.equal(other);
      expect(await region.describeServers(undefined, patient())).to.have.length(1);
    });

    it('describes what is there of many', async () => {
      const seen = await region.describeServers([randomUUID(), server.id, randomUUID()], patient());
      expect(seen.map(({ id }) => id)).to.deep.equal([server.id]);
    });

    it('starts a running server with success', async () => {
      expect(await region.startServer(server.id, patient())).to.include({ powerState: 'Running', boots: 1 });
    });

    it('shows the console up to the login prompt', async () => {
      await waitFor('the guest asks for a login', async () => (await prompts(server.id)) === 1);
      expect(await consoleOf(server.id)).to.include('contract login: ');
    });

    it('shows as many lines of the console as are asked for', async () => {
      // User data runs beside the login prompt, so the console is still until both are there.
      await waitFor('user data has run', async () =>
        (await consoleOf(server.id)).includes('user-data: exit'),
      );
      const last = async (lines: number): Promise<string> =>
        (await region.consoleOutput(server.id, { lines }, patient())).contents;
      const text = await consoleOf(server.id);
      expect(await last(0)).to.equal('');
      expect(await last(1)).to.satisfy(
        (line: string) => text.endsWith(line) && !line.slice(0, -1).includes('\n'),
      );
      expect((await last(3)).replace(/\n$/, '').split('\n')).to.have.length(3);
      expect(text.endsWith(await last(3))).to.equal(true);
      expect(await last(100_000)).to.equal(text);
    });

    it('shows its console by offsets', async () => {
      const all = await region.consoleOutput(server.id, { start: 0 }, patient());
      expect(all).to.include({ start: 0, contents: await consoleOf(server.id) });
      const from = Math.floor(all.next / 2);
      const rest = await region.consoleOutput(server.id, { start: from }, patient());
      const bytes = Buffer.from(all.contents).subarray(from);
      expect(rest).to.deep.equal({ contents: bytes.toString(), start: from, next: all.next });
      written = all.next;
    });

    it('is found again by the next process, running', async () => {
      const before = await region.describeServers([server.id], patient());
      await reopen();
      expect(await region.describeServers([server.id], patient())).to.deep.equal(before);
      expect(await region.describeServers(undefined, patient())).to.have.length(1);
    });

    it('reboots softly, and knows a repeat of the same request, also in the next process', async () => {
      const reboot = (name: string) =>
        region.rebootServer(server.id, { hard: false, request: name }, patient());
      expect(await reboot('first')).to.include({ powerState: 'Running' });
      await waitFor('the guest is up again', async () => (await prompts(server.id)) === 2);
      expect(await reboot('first')).to.include({ powerState: 'Running' });
      await reopen();
      expect(await reboot('first')).to.include({ powerState: 'Running', boots: 2 });
      expect(await prompts(server.id)).to.equal(2);
    });

    it('stops, and stops again with success', async () => {
      expect(await region.stopServer(server.id, patient())).to.include({ powerState: 'Stopped' });
      expect(await region.stopServer(server.id, patient())).to.include({ powerState: 'Stopped' });
      expect(await stateOf(server.id)).to.equal('Stopped');
    });

    it('cannot be rebooted while it is stopped', async () => {
      expect(await failureOf(region.rebootServer(server.id, { hard: false }, patient()))).to.equal(
        'conflict',
      );
      expect(await failureOf(region.rebootServer(server.id, { hard: true }, patient()))).to.equal('conflict');
    });

    it('stays stopped when it is ensured again, also by the next process', async () => {
      expect(await region.ensureServer(server, patient())).to.include({ powerState: 'Stopped' });
      await reopen();
      expect(await region.ensureServer(server, patient())).to.include({ powerState: 'Stopped' });
    });

    it('keeps its console while it is stopped', async () => {
      expect(await prompts(server.id)).to.equal(2);
      const later = await region.consoleOutput(server.id, { start: written }, patient());
      expect(later.start).to.equal(written);
      expect(later.contents.split('login:')).to.have.length(2);
    });

    it('starts again, and counts its boots', async () => {
      expect(await region.startServer(server.id, patient())).to.include({ powerState: 'Running', boots: 3 });
    });

    it('reboots hard at any moment', async () => {
      expect(await region.rebootServer(server.id, { hard: true }, patient())).to.include({
        powerState: 'Running',
        boots: 4,
      });
    });

    it('is deleted, and deleted again with success', async () => {
      await region.deleteServer(server.id, patient());
      await region.deleteServer(server.id, patient());
      expect(await region.describeServers(undefined, patient())).to.deep.equal([]);
      expect(await failureOf(region.startServer(server.id, patient()))).to.equal('not_found');
      await reopen();
      expect(await region.describeServers(undefined, patient())).to.deep.equal([]);
    });
  });

  describe('a server that is to rest at first', () => {
    it('is made without being started, stays so however often it is ensured, and starts when it is asked to', async () => {
      const server = await request({ power: 'stopped' });
      for (let time = 0; time < 2; time += 1)
        expect(await region.ensureServer(server, patient())).to.include({ powerState: 'Stopped' });
      await reopen();
      expect(await stateOf(server.id)).to.equal('Stopped');
      expect(await region.ensureServer(server, patient())).to.include({ powerState: 'Stopped' });
      expect(await consoleOf(server.id)).to.equal('');
      expect(await region.startServer(server.id, patient())).to.include({ powerState: 'Running' });
      await waitFor('the guest asks for a login', async () => (await prompts(server.id)) === 1);
      expect(await region.ensureServer(server, patient())).to.include({ powerState: 'Running' });
      await region.deleteServer(server.id, patient());
    });
  });

  describe('a server whose flavor has left the catalog', () => {
    it('is made with what the flavor was', async () => {
      const offered = await region.listFlavors(principal, patient());
      const flavor = offered.find(({ metadata }) => metadata.name === harness.flavor)?.spec;
      if (flavor === undefined) throw new Error(`no flavor ${harness.flavor}`);
      const server = await request({ flavorId: randomUUID(), flavor, power: 'stopped' });
      expect(await region.ensureServer(server, patient())).to.include({ powerState: 'Stopped' });
      await region.deleteServer(server.id, patient());
      const tiny = { ...flavor, memoryMiB: 1 };
      const small = await request({ flavorId: randomUUID(), flavor: tiny });
      expect(await failureOf(region.ensureServer(small, patient()))).to.equal('terminal');
    });
  });

  testSnapshots({ region: () => region, request, reopen });
  testResize(harness, { region: () => region, request, idOf, reopen });

  describe('abort', () => {
    it('comes back as the reason of the signal, from every call, with nothing done', async () => {
      const reason = new Error('lost the lease');
      const signal = AbortSignal.abort(reason);
      const server = await request();
      const calls = [
        region.listFlavors(principal, signal),
        region.listImages(principal, signal),
        region.ensureServer(server, signal),
        region.startServer(server.id, signal),
        region.stopServer(server.id, signal),
        region.rebootServer(server.id, { hard: true }, signal),
        region.resizeServer(server.id, server, signal),
        region.deleteServer(server.id, signal),
        region.snapshotServer(server.id, { imageId: randomUUID(), name: 'contract' }, signal),
        region.images?.remove(randomUUID(), signal) ?? Promise.reject(reason),
        region.describeServers(undefined, signal),
        region.consoleOutput(server.id, {}, signal),
      ];
      for (const call of calls) expect(await rejectionOf(call)).to.equal(reason);
      expect(await region.describeServers(undefined, patient())).to.deep.equal([]);
    });

    it('of an ensure leaves something that the next ensure completes', async () => {
      const server = await request();
      for (const ms of [0, 5, 15]) {
        const abort = new AbortController();
        const reason = new Error('no more');
        const timer = setTimeout(() => {
          abort.abort(reason);
        }, ms);
        const end = await region.ensureServer(server, abort.signal).then(
          () => undefined,
          (error: unknown) => error,
        );
        clearTimeout(timer);
        expect(end).to.be.oneOf([undefined, reason]);
      }
      expect(await region.ensureServer(server, patient())).to.include({ powerState: 'Running' });
      expect(await region.describeServers(undefined, patient())).to.have.length(1);
      await region.deleteServer(server.id, patient());
    });
  });

  describe('watch', () => {
    it('tells of changes until it is told to stop', async () => {
      const server = await request();
      const events: ServerEvent[] = [];
      const unwatch = region.watch((event) => events.push(event));
      await region.ensureServer(server, patient());
      const states = (): (string | undefined)[] => events.map((event) => event.observation?.powerState);
      await waitFor('it is seen running', () => states().includes('Running'), 5000);
      await region.deleteServer(server.id, patient());
      await waitFor('it is seen gone', () => events.at(-1)?.observation === undefined, 5000);
      for (const event of events) expect(event.id).to.equal(server.id);
      unwatch();
      const count = events.length;
      await region.ensureServer(server, patient());
      await region.deleteServer(server.id, patient());
      expect(events).to.have.length(count);
    });
  });

  describe('closed', () => {
    it('refuses work in a way worth a retry, and opens again', async () => {
      const server = await request();
      await region.close();
      await region.close();
      expect(await failureOf(region.ensureServer(server, patient()))).to.equal('transient');
      expect(await failureOf(region.describeServers(undefined, patient()))).to.equal('transient');
      await region.open();
      await region.open();
      expect(await region.describeServers(undefined, patient())).to.deep.equal([]);
    });
  });
}
