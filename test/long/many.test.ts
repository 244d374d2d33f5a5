/** Many real machines asked for at once: every one comes up, and no more boot at a time than there are cores. */
import { readFileSync, readlinkSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { thorough } from '../support/budget.js';
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

/** Several times as many as may boot at a time; with COPSE_TEST_THOROUGH=1 twenty or more. */
const count = Math.max(thorough ? 20 : 8, 4 * availableParallelism());

/** What the guest of the emulator has written; nothing once the emulator is gone. */
function consoleOf(pid: number): string {
  try {
    return readFileSync(join(readlinkSync(`/proc/${pid}/cwd`), 'console.log'), 'latin1');
  } catch {
    return '';
  }
}

describe(`${count} instances at once on the local region`, function () {
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
    // A busy machine may take longer to boot a guest than the slot lasts by default; the width is what counts here.
    const environment = {
      COPSE_LOCAL_IMAGE_DIR: imageDir,
      COPSE_LOCAL_ACCELERATOR: 'tcg',
      COPSE_LOCAL_START_SLOT: '600',
    };
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
    let widest = 0;
    await until('every guest to be spawned and to ask for a login', 800, () => {
      const consoles = emulatorsIn(dataDir).map(consoleOf);
      const booting = consoles.filter((text) => !text.includes('login:')).length;
      widest = Math.max(widest, booting);
      return consoles.length === count && booting === 0 ? true : undefined;
    });
    expect(widest).to.be.within(1, availableParallelism());
    for (const { metadata } of made) {
      const path = `/api/v2/instances/${metadata.id}/consoleoutput?length=5`;
      expect((await client.get<{ contents: string }>(path)).body.contents).to.contain('login:');
    }
    for (const { metadata } of made) await client.delete(`/api/v2/instances/${metadata.id}`);
    for (const { metadata } of made) await untilGone(client, metadata.id, 120);
    expect(emulatorsIn(dataDir)).to.deep.equal([]);
  });
});
