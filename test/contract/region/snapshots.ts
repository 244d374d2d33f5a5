/** What every RegionProvider owes its callers when it makes images of its servers: a part of suite.ts. */
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import type { MadeImage, RegionProvider, ServerRequest } from '../../../src/region/provider.js';
import { failureOf, patient, principal, rejectionOf } from '../../support/region.js';

export interface SnapshotContext {
  region: () => RegionProvider;
  request: (change?: Partial<ServerRequest>) => Promise<ServerRequest>;
  reopen: () => Promise<void>;
}

export function testSnapshots({ region, request, reopen }: SnapshotContext): void {
  const snapshot = (id: string, imageId: string, signal = patient()): Promise<MadeImage> =>
    region().snapshotServer(id, { imageId, name: 'contract' }, signal);
  const remove = async (imageId: string): Promise<void> => region().images?.remove(imageId, patient());
  const made = async (change: Partial<ServerRequest> = {}): Promise<ServerRequest> => {
    const server = await request(change);
    await region().ensureServer(server, patient());
    return server;
  };
  const discard = (...servers: ServerRequest[]): Promise<unknown> =>
    Promise.all(servers.map(({ id }) => region().deleteServer(id, patient())));

  describe('a snapshot', () => {
    it('of a stopped server is an image that the next process finds, and not one of the catalog', async () => {
      const [server, imageId] = [await made({ power: 'stopped' }), randomUUID()];
      const image = await snapshot(server.id, imageId);
      expect(image.virtualSize).to.be.at.least(2 ** 20);
      expect(image.sizeBytes).to.be.greaterThan(0);
      expect(image.checksum).to.match(/^sha256:[0-9a-f]{64}$/);
      await reopen();
      expect(await snapshot(server.id, imageId)).to.deep.equal(image);
      const images = await region().listImages(principal, patient());
      expect(images.map(({ metadata }) => metadata.id)).to.not.include(imageId);
      const clone = await made({ imageId });
      expect(await region().describeServers([clone.id], patient())).to.have.nested.property(
        '[0].powerState',
        'Running',
      );
      await discard(server, clone);
      await remove(imageId);
    });

    it('of a running server leaves it running, is made once however often, and outlives the server', async () => {
      const [server, imageId] = [await made(), randomUUID()];
      const [one, other] = await Promise.all([snapshot(server.id, imageId), snapshot(server.id, imageId)]);
      expect(one).to.deep.equal(other);
      const [seen] = await region().describeServers([server.id], patient());
      expect(seen?.powerState).to.equal('Running');
      await discard(server);
      const clone = await made({ imageId, power: 'stopped' });
      const [copy] = await region().describeServers([clone.id], patient());
      expect(copy?.macAddress).to.not.equal(seen?.macAddress);
      // A snapshot of what was itself made from one.
      const secondId = randomUUID();
      expect((await snapshot(clone.id, secondId)).virtualSize).to.equal(one.virtualSize);
      await discard(clone);
      await remove(imageId);
      await discard(await made({ imageId: secondId, power: 'stopped' }));
      await remove(secondId);
    });

    it('of an absent server is refused', async () => {
      const imageId = randomUUID();
      expect(await failureOf(snapshot(randomUUID(), imageId))).to.equal('not_found');
      expect(await failureOf(made({ imageId }))).to.equal('not_found');
    });

    it('that is aborted comes back as the reason of the signal, and leaves nothing in the way of the next', async () => {
      const [server, imageId] = [await made(), randomUUID()];
      const reason = new Error('lost the lease');
      expect(await rejectionOf(snapshot(server.id, imageId, AbortSignal.abort(reason)))).to.equal(reason);
      for (const ms of [0, 3, 30]) {
        const abort = new AbortController();
        const timer = setTimeout(() => {
          abort.abort(reason);
        }, ms);
        const end = await snapshot(server.id, imageId, abort.signal).catch((error: unknown) => error);
        clearTimeout(timer);
        if (end === reason) await remove(imageId);
        else expect(end).to.have.property('checksum');
      }
      expect(await snapshot(server.id, imageId)).to.have.property('checksum');
      expect(await region().startServer(server.id, patient())).to.include({ powerState: 'Running' });
      await discard(server);
      await remove(imageId);
    });
  });

  describe('a stored image', () => {
    it('is not removed while a server needs it, also by the next process, and then for good', async () => {
      const [server, imageId] = [await made({ power: 'stopped' }), randomUUID()];
      await snapshot(server.id, imageId);
      const clone = await made({ imageId, power: 'stopped' });
      expect(await failureOf(remove(imageId))).to.equal('conflict');
      await reopen();
      expect(await failureOf(remove(imageId))).to.equal('conflict');
      await discard(clone);
      await remove(imageId);
      await remove(imageId);
      expect(await failureOf(made({ imageId }))).to.equal('not_found');
      expect(await region().describeServers([server.id], patient())).to.have.length(1);
      await discard(server);
    });

    it('is either used or removed when both are asked for at once', async () => {
      const server = await made({ power: 'stopped' });
      for (let round = 0; round < 3; round += 1) {
        const imageId = randomUUID();
        await snapshot(server.id, imageId);
        const clone = await request({ imageId, power: 'stopped' });
        const [used, removed] = await Promise.allSettled([
          region().ensureServer(clone, patient()),
          remove(imageId),
        ]);
        expect([used.status, removed.status].sort()).to.deep.equal(['fulfilled', 'rejected']);
        await discard(clone);
        await remove(imageId);
      }
      await discard(server);
    });

    it('that is absent is removed with success', async () => {
      await remove(randomUUID());
    });
  });
}
