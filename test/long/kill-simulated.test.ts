/** kill -9 while a slow simulated region is at work: every accepted create ends with exactly one server. */
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLog } from '../../src/model/log.js';
import type { Task } from '../../src/model/task.js';
import { SimulatedRegion } from '../../src/region/simulated/index.js';
import {
  cleanUp,
  createInstance,
  offerOf,
  startServer,
  temporaryFolder,
  until,
  untilPower,
} from '../support/process.js';

describe('kill -9 of the server with a simulated region', function () {
  this.timeout(120_000);
  let dataDir: string;
  beforeEach(() => {
    dataDir = temporaryFolder();
  });
  afterEach(() => cleanUp(dataDir));

  it('loses no accepted create and makes none twice, killed ten times in a row', async () => {
    const options = {
      dataDir,
      args: ['--region', 'simulated'],
      environment: { COPSE_SIMULATED_DELAY: '150' },
    };
    const accepted: { id: string; taskId: string }[] = [];
    for (let round = 0; round < 10; round += 1) {
      const server = await startServer(options);
      const offer = await offerOf(server.client, 'sim-linux');
      for (let n = 0; n < 3; n += 1) {
        const { metadata, status } = await createInstance(server.client, `r${round}-${n}`, offer);
        accepted.push({ id: metadata.id, taskId: status.taskId ?? '' });
      }
      const watched = accepted.at(-1)?.taskId ?? '';
      if (round % 2 === 0) {
        await until('the task to run', 20, async () =>
          (await server.client.get<Task>(`/api/v2/tasks/${watched}`)).body.status === 'pending'
            ? undefined
            : true,
        );
      }
      await server.kill('SIGKILL');
    }
    const last = await startServer(options);
    for (const { id, taskId } of accepted) {
      await untilPower(last.client, id, 'Running', 60);
      expect((await last.client.get<Task>(`/api/v2/tasks/${taskId}`)).body.status).to.equal('succeeded');
    }
    await last.kill('SIGTERM');
    const region = new SimulatedRegion({
      regionId: '00000000-0000-7000-8000-000000000000',
      file: join(dataDir, 'simulated.sqlite'),
      delay: 0,
      failureRate: 0,
      seed: 1,
      log: silentLog,
    });
    await region.open();
    const servers = region.servers().map(({ id }) => id);
    await region.close();
    expect(servers.sort()).to.deep.equal(accepted.map(({ id }) => id).sort());
  });
});
