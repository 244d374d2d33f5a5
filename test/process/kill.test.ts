/** kill -9 at each stage of a create: afterwards the instance runs, once, and its deletion leaves nothing. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Task } from '../../src/model/task.js';
import { idleImages } from '../support/idle-guest.js';
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
  untilPower,
} from '../support/process.js';

/** Files of machines below the data folder, by the path that an operator would look into. */
function machineFiles(dataDir: string): string[] {
  return readdirSync(join(dataDir, 'local', 'servers'));
}

describe('kill -9 of the server with real machines', function () {
  this.timeout(240_000);
  const missing = machinesMissing();
  if (missing !== undefined) {
    it(`SKIPPED, because ${missing}`);
    return;
  }
  let dataDir: string;
  let server: ServerProcess;
  let images: string;
  const start = () =>
    startServer({
      dataDir,
      environment: {
        COPSE_LOCAL_IMAGE_DIR: images,
        COPSE_LOCAL_ACCELERATOR: 'tcg',
        COPSE_LOCAL_START_WIDTH: '1',
      },
    });

  beforeEach(() => {
    dataDir = temporaryFolder();
    images = idleImages();
  });
  afterEach(async () => {
    await server.kill('SIGKILL');
    await cleanUp(dataDir);
  });

  /** Kills, restarts, and expects the instances to run once each and to leave nothing behind. */
  async function survive(ids: string[]): Promise<void> {
    await server.kill('SIGKILL');
    server = await start();
    for (const id of ids) await untilPower(server.client, id, 'Running');
    expect(emulatorsIn(dataDir)).to.have.length(ids.length);
    for (const id of ids) await server.client.delete(`/api/v2/instances/${id}`);
    for (const id of ids) await untilGone(server.client, id);
    expect(emulatorsIn(dataDir)).to.deep.equal([]);
    expect(machineFiles(dataDir)).to.deep.equal([]);
  }

  it('while the create is queued, and while another one waits in the start queue', async () => {
    // The queue needs a guest that takes its time to boot.
    images = imageDir;
    server = await start();
    const offer = await offerOf(server.client);
    const first = await createInstance(server.client, 'first', offer);
    const second = await createInstance(server.client, 'second', offer);
    await survive([first.metadata.id, second.metadata.id]);
  });

  it('while the create is running', async () => {
    server = await start();
    const made = await createInstance(server.client, 'half-made', await offerOf(server.client));
    await until('the emulator to be spawned', 60, () => (emulatorsIn(dataDir).length > 0 ? true : undefined));
    await survive([made.metadata.id]);
  });

  it('while the create has just begun', async () => {
    server = await start();
    const made = await createInstance(server.client, 'begun', await offerOf(server.client));
    await until('the task to run', 60, async () => {
      const { body } = await server.client.get<Task>(`/api/v2/tasks/${made.status.taskId ?? ''}`);
      return body.status === 'pending' ? undefined : true;
    });
    await survive([made.metadata.id]);
  });

  it('after the create, adopting the same process', async () => {
    server = await start();
    const made = await createInstance(server.client, 'made', await offerOf(server.client));
    await untilPower(server.client, made.metadata.id, 'Running');
    const before = emulatorsIn(dataDir);
    expect(before).to.have.length(1);
    await server.kill('SIGKILL');
    server = await start();
    await untilPower(server.client, made.metadata.id, 'Running');
    expect(emulatorsIn(dataDir)).to.deep.equal(before);
    await survive([made.metadata.id]);
  });
});
