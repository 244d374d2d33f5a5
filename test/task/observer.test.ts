import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import { ObservationData } from '../../src/data/observation.js';
import { eventually } from '../support/eventually.js';
import { startServer, type TestServer } from '../support/server.js';

describe('the observer', () => {
  let server: TestServer;

  const shown = async (instance: Instance) =>
    (await server.admin.get<Instance>(`/api/v2/instances/${instance.metadata.id}`)).body;
  const shows = (instance: Instance, powerState: string) =>
    eventually(async () => {
      const now = await shown(instance);
      return now.status.powerState === powerState ? now : undefined;
    });

  before(async () => {
    server = await startServer();
  });
  after(() => server.stop());
  afterEach(() => server.cloud.clearProgram());

  it('shows a machine that stopped by itself as stopped and degraded, because nobody asked for it', async () => {
    const instance = await server.running('fell');
    server.cloud.interfere(instance.metadata.id, { powerState: 'Stopped', message: 'Out of power.' });
    const { metadata } = await shows(instance, 'Stopped');
    expect(metadata).to.include({ healthStatus: 'degraded', provisioningStatus: 'provisioned' });
    expect(metadata.provisioningStatusDetail).to.deep.equal({ reason: 'Power', message: 'Out of power.' });
  });

  it('shows that it runs again, and then no message any more', async () => {
    const instance = await server.running('rose');
    server.cloud.interfere(instance.metadata.id, { powerState: 'Error', message: 'Panic.' });
    expect((await shows(instance, 'Error')).metadata.healthStatus).to.equal('error');
    server.cloud.interfere(instance.metadata.id, { powerState: 'Running' });
    const { metadata } = await shows(instance, 'Running');
    expect(metadata.healthStatus).to.equal('healthy');
    expect(metadata).not.to.have.property('provisioningStatusDetail');
  });

  it('shows a machine that vanished as an error, keeps its record, and lets it be deleted', async () => {
    const instance = await server.running('vanished');
    server.cloud.interfere(instance.metadata.id, 'vanish');
    const { metadata } = await shows(instance, 'Error');
    expect(metadata.healthStatus).to.equal('error');
    expect(metadata.provisioningStatusDetail?.message).to.equal('The region no longer has this machine.');
    const start = await server.admin.post(`/api/v2/instances/${instance.metadata.id}/start`);
    expect((await server.ended(start.headers.get('location'))).cause?.code).to.equal('not_found');
    await server.deleteInstance(instance.metadata.id);
  });

  it('powers nothing off or on behind a user’s back', async () => {
    const instance = await server.running('left-alone');
    server.cloud.interfere(instance.metadata.id, { powerState: 'Stopped' });
    await shows(instance, 'Stopped');
    expect(server.cloud.history(instance.metadata.id).map((entry) => entry.verb)).to.deep.equal([
      'ensureServer',
    ]);
  });

  it('does not take a machine that is being replaced for lost', async () => {
    const instance = await server.running('swapped');
    server.cloud.program({ verb: 'ensureServer', delay: 150, times: 1 });
    const states = new Set<string | undefined>();
    const stop = server.app.store.watch((collection, id) => {
      if (collection !== 'instances' || id !== instance.metadata.id) return;
      void server.app.connector.instances.load(id).then((found) => states.add(found?.value.powerMessage));
    });
    const body = {
      metadata: { name: 'swapped' },
      spec: { ...instance.spec, imageId: server.catalog.images['sim-linux-next'] },
    };
    const reply = await server.admin.put(`/api/v2/instances/${instance.metadata.id}?allowReplace=true`, body);
    await server.ended(reply.headers.get('location'));
    stop();
    expect([...states]).to.deep.equal([undefined]);
  });

  it('ignores machines that it has no instance for', async () => {
    const { id } = { id: '0193a5c0-0000-7000-8000-000000000001' };
    const { flavors, images } = server.catalog;
    const request = {
      id,
      hostname: 'foreign',
      flavorId: flavors['tiny'] ?? '',
      imageId: images['sim-linux'] ?? '',
      tags: [],
    };
    await server.cloud.ensureServer(request, new AbortController().signal);
    await server.running('after-foreign');
    expect(server.log.defects()).to.deep.equal([]);
    await server.admin.refused('not_found', 'GET', `/api/v2/instances/${id}`);
  });
});

describe('an observation that is stored late, as by a process that was frozen,', () => {
  it('is made anew first', async () => {
    const server = await startServer();
    try {
      const { metadata } = await server.running('late');
      const again = async () =>
        (await server.cloud.describeServers([metadata.id], new AbortController().signal))[0];
      const seen = { id: metadata.id, powerState: 'Stopped' as const };
      const data = new ObservationData(server.app.store);
      await data.record({ id: metadata.id, seen, at: performance.now() - 5000, again });
      expect((await server.settled(metadata.id)).status.powerState).to.equal('Running');
      await data.record({ id: metadata.id, seen: undefined, at: performance.now() - 5000, again });
      expect((await server.settled(metadata.id)).status.powerState).to.equal('Running');
      await data.record({ id: metadata.id, seen, at: performance.now(), again });
      expect((await server.settled(metadata.id)).status.powerState).to.equal('Stopped');
    } finally {
      await server.stop();
    }
  });
});

describe('the observer’s full look', () => {
  it('finds what changed while no process watched', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'copse-observer-'));
    const flags = { store: 'sqlite:copse.sqlite' };
    try {
      const first = await startServer({ dataDir, flags });
      const stopped = await first.running('stopped-meanwhile');
      const lost = await first.running('lost-meanwhile');
      const kept = await first.running('kept');
      const cloud = first.cloud;
      await first.stop();
      await cloud.open();
      cloud.interfere(stopped.metadata.id, { powerState: 'Stopped' });
      cloud.interfere(lost.metadata.id, 'vanish');
      await cloud.close();
      const second = await startServer({ dataDir, flags });
      try {
        await second.settled(stopped.metadata.id, (one) => one.status.powerState === 'Stopped');
        await second.settled(lost.metadata.id, (one) => one.status.powerState === 'Error');
        expect((await second.settled(kept.metadata.id)).status).to.deep.equal(kept.status);
      } finally {
        await second.stop();
      }
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  });

  it('comes again after the region could not answer', async () => {
    const server = await startServer({ flags: { tasks: { observe: 0.05 } } });
    try {
      await server.running('watched');
      server.cloud.program({ verb: 'describeServers', error: 'transient', times: 2 });
      await eventually(
        () =>
          server.log.entries.filter(({ message }) => message === 'a periodic job failed; it will be retried')
            .length === 2,
      );
      // A look that finds the rule used up is one that succeeded.
      server.cloud.program({ verb: 'describeServers', error: 'transient', times: 1 });
      await eventually(
        () =>
          server.log.entries.filter(({ message }) => message === 'a periodic job failed; it will be retried')
            .length === 3,
      );
    } finally {
      await server.stop();
    }
  });
});
