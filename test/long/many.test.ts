/** Twenty real machines asked for at once: every one comes up, and no more boot at a time than there are cores. */
import { availableParallelism } from 'node:os';
import { expect } from 'chai';
import type { Instance } from '../../src/model/instance.js';
import {
  cleanUp,
  createInstance,
  emulatorsIn,
  imageDir,
  machinesMissing,
  offerOf,
  type ServerProcess,
  startServer,
  temporaryFolder,
  until,
  untilGone,
} from '../support/process.js';

const count = 20;

describe('twenty instances at once on the local region', function () {
  this.timeout(900_000);
  const missing = machinesMissing();
  if (missing !== undefined) {
    it(`SKIPPED, because ${missing}`);
    return;
  }
  let dataDir: string;
  let server: ServerProcess;
  before(async () => {
    dataDir = temporaryFolder();
    const environment = { COPSE_LOCAL_IMAGE_DIR: imageDir, COPSE_LOCAL_ACCELERATOR: 'tcg' };
    server = await startServer({ dataDir, environment });
  });
  after(async () => {
    await server.kill('SIGKILL');
    await cleanUp(dataDir);
  });

  it('all reach their login prompt, started as wide as the cores, and are deleted without a trace', async () => {
    const { client } = server;
    const offer = await offerOf(client);
    const made = await Promise.all(
      Array.from({ length: count }, (_, n) => createInstance(client, `guest-${n}`, offer)),
    );
    const up = new Set<string>();
    let widest = 0;
    await until('every login prompt', 800, async () => {
      const { body } = await client.get<Instance[]>('/api/v2/instances?limit=1000');
      const running = body.filter(({ status }) => status.powerState === 'Running');
      for (const { metadata } of running.filter((instance) => !up.has(instance.metadata.id))) {
        const output = await client.get<{ contents: string }>(
          `/api/v2/instances/${metadata.id}/consoleoutput?length=5`,
        );
        if (output.body.contents.includes('login:')) up.add(metadata.id);
      }
      widest = Math.max(widest, emulatorsIn(dataDir).length - up.size);
      return up.size === count ? true : undefined;
    });
    expect(emulatorsIn(dataDir)).to.have.length(count);
    // One more than the cores: a guest may be up before this loop has read its console.
    expect(widest).to.be.at.most(availableParallelism() + 1);
    for (const { metadata } of made) await client.delete(`/api/v2/instances/${metadata.id}`);
    for (const { metadata } of made) await untilGone(client, metadata.id, 120);
    expect(emulatorsIn(dataDir)).to.deep.equal([]);
  });
});
