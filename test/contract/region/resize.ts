/** The clauses of the contract about servers that get another flavor. */
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import type { RegionProvider, ServerRequest } from '../../../src/region/provider.js';
import { failureOf, patient } from '../../support/region.js';
import type { RegionHarness } from './suite.js';

export interface RegionTools {
  region: () => RegionProvider;
  request: (change?: Partial<ServerRequest>) => Promise<ServerRequest>;
  idOf: (kind: 'flavor' | 'image', name: string) => Promise<string>;
  reopen: () => Promise<void>;
}

export function testResize(harness: RegionHarness, { region, request, idOf, reopen }: RegionTools): void {
  describe('a server that gets another flavor', () => {
    const { larger } = harness;

    it('keeps running and keeps its disk, which is larger at the next start, also in the next process', async () => {
      const server = await request();
      await region().ensureServer(server, patient());
      const address = (await region().describeServers([server.id], patient()))[0]?.privateIP;
      const size = await larger.sizeOf?.(server.id);
      const flavorId = await idOf('flavor', larger.name);
      for (let time = 0; time < 2; time += 1)
        expect(await region().resizeServer(server.id, { flavorId }, patient())).to.include({
          powerState: 'Running',
          privateIP: address,
        });
      expect(await larger.sizeOf?.(server.id)).to.equal(size);
      await reopen();
      await region().stopServer(server.id, patient());
      expect(await region().startServer(server.id, patient())).to.include({ powerState: 'Running' });
      if (size !== undefined) expect(await larger.sizeOf?.(server.id)).to.be.above(size);
      const smaller = await idOf('flavor', harness.flavor);
      const shrink = region().resizeServer(server.id, { flavorId: smaller }, patient());
      expect(await failureOf(shrink)).to.equal('terminal');
      await region().deleteServer(server.id, patient());
    });

    it('has a larger disk at once while it is stopped', async () => {
      const server = await request({ power: 'stopped' });
      await region().ensureServer(server, patient());
      const size = await larger.sizeOf?.(server.id);
      const flavorId = await idOf('flavor', larger.name);
      expect(await region().resizeServer(server.id, { flavorId }, patient())).to.include({
        powerState: 'Stopped',
      });
      if (size !== undefined) expect(await larger.sizeOf?.(server.id)).to.be.above(size);
      await region().deleteServer(server.id, patient());
    });

    it('must exist, and so must the flavor', async () => {
      const flavorId = await idOf('flavor', larger.name);
      expect(await failureOf(region().resizeServer(randomUUID(), { flavorId }, patient()))).to.equal(
        'not_found',
      );
      const server = await request({ power: 'stopped' });
      await region().ensureServer(server, patient());
      const unknown = region().resizeServer(server.id, { flavorId: randomUUID() }, patient());
      expect(await failureOf(unknown)).to.equal('not_found');
      await region().deleteServer(server.id, patient());
    });
  });
}
