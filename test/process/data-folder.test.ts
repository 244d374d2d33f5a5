/** Data folders as operators treat them: copied, moved, and read by the wrong user. The machines are real. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { lstatSync, readFileSync, readlinkSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Event } from '../../src/model/event.js';
import type { Instance } from '../../src/model/instance.js';
import type { Task } from '../../src/model/task.js';
import { unlessBreach } from '../support/conform.js';
import { idleImages } from '../support/idle-guest.js';
import {
  cleanUp,
  createInstance,
  emulatorsIn,
  machinesMissing,
  offerOf,
  ServerProcess,
  startServer,
  temporaryFolder,
  until,
  untilGone,
  untilPower,
} from '../support/process.js';

describe('a data folder with real machines', function () {
  this.timeout(240_000);
  const missing = machinesMissing();
  if (missing !== undefined) {
    it(`SKIPPED, because ${missing}`);
    return;
  }
  let folder: string;
  let dataDir: string;
  const servers: ServerProcess[] = [];
  const environment = {
    COPSE_LOCAL_IMAGE_DIR: idleImages(),
    COPSE_LOCAL_ACCELERATOR: 'tcg',
    COPSE_LOCAL_STOP_DEADLINE: '1',
  };
  const start = async (place: string): Promise<ServerProcess> => {
    const server = await startServer({ dataDir: place, environment });
    servers.push(server);
    return server;
  };

  beforeEach(() => {
    folder = temporaryFolder();
    dataDir = join(folder, 'data');
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.kill('SIGKILL');
    await cleanUp(folder);
  });

  it('whose record of a server cannot be read tells so, and does what was asked once it can', async () => {
    const first = await start(dataDir);
    const { metadata } = await createInstance(first.client, 'unread', await offerOf(first.client));
    const address = `/api/v2/instances/${metadata.id}`;
    await untilPower(first.client, metadata.id, 'Running');
    const machines = emulatorsIn(dataDir);
    await first.kill('SIGTERM');
    const record = join(dataDir, 'local', 'servers', metadata.id, 'state.json');
    renameSync(record, `${record}.away`);
    symlinkSync('state.json', record);
    const { client } = await start(dataDir);
    const seen = await until('the observer to have seen it', 60, async () => {
      const { body } = await client.get<Instance>(address);
      return body.status.powerState === 'Error' ? body : undefined;
    });
    expect(seen.metadata.provisioningStatusDetail?.message)
      .to.match(/state\.json.*cannot be read/)
      .and.not.match(/damaged/);
    const asked = (await client.post<Task>(`${address}/stop`, {})).headers.get('Location') ?? '';
    const cause = await until('the stop to have failed once', 60, async () => {
      const { body } = await client.get<Task>(asked);
      return body.attempts[0]?.cause;
    });
    expect(cause).to.include({ code: 'unavailable', retryable: true });
    expect(cause.message).to.match(/state\.json.*cannot be read/);
    expect(emulatorsIn(dataDir)).to.deep.equal(machines);
    expect(lstatSync(record).isSymbolicLink()).to.equal(true);
    renameSync(`${record}.away`, record);
    await untilPower(client, metadata.id, 'Stopped');
    expect(emulatorsIn(dataDir)).to.deep.equal([]);
    await client.delete(address);
    await untilGone(client, metadata.id);
  });

  it('that was copied leaves the machines to the original, whatever is asked of the copy', async () => {
    const original = await start(dataDir);
    const { metadata } = await createInstance(original.client, 'copied', await offerOf(original.client));
    await untilPower(original.client, metadata.id, 'Running');
    const machines = emulatorsIn(dataDir);
    const copy = join(folder, 'copy');
    execFileSync('cp', ['-a', dataDir, copy]);
    const { client } = await start(copy);
    const address = `/api/v2/instances/${metadata.id}`;
    await untilPower(client, metadata.id, 'Error');
    for (const [verb, state] of [
      ['stop', 'Stopped'],
      ['start', 'Running'],
    ] as const) {
      await client.post(`${address}/${verb}`, {});
      await untilPower(client, metadata.id, state);
      expect(emulatorsIn(dataDir), verb).to.deep.equal(machines);
    }
    await client.delete(address);
    await untilGone(client, metadata.id);
    expect(emulatorsIn(copy)).to.deep.equal([]);
    expect(emulatorsIn(dataDir)).to.deep.equal(machines);
    await untilPower(original.client, metadata.id, 'Running');
  });

  it('that was copied for a second worker of the site is refused, and nothing is told of the machines', async () => {
    const site = { ...environment, COPSE_STORE: `sqlite:${join(folder, 'site.sqlite')}` };
    const worker = await startServer({ command: 'worker', dataDir, environment: site });
    servers.push(worker);
    const args = ['--no-worker'];
    const api = await startServer({ dataDir: join(folder, 'api'), args, environment: site });
    servers.push(api);
    const { client } = api;
    const offer = await until('the region to be known', 20, async () => {
      const found = await offerOf(client).catch(unlessBreach);
      return found?.imageId === '' ? undefined : found;
    });
    const { metadata } = await createInstance(client, 'twice', offer);
    await untilPower(client, metadata.id, 'Running');
    const before = (await client.get<Event[]>('/api/v2/events?limit=1000')).body;
    const copy = join(folder, 'copy');
    execFileSync('cp', ['-a', dataDir, copy]);
    const second = new ServerProcess({ command: 'worker', dataDir: copy, environment: site });
    servers.push(second);
    expect(await second.exit).to.equal(1);
    expect(second.stderr).to.match(/Region local is already driven by another worker/);
    await untilPower(client, metadata.id, 'Running', 5);
    expect((await client.get<Event[]>('/api/v2/events?limit=1000')).body).to.deep.equal(before);
    expect(emulatorsIn(copy)).to.deep.equal([]);
    expect(emulatorsIn(dataDir)).to.have.length(1);
  });

  it('that is refused starts none of its machines, though one was about to start', async () => {
    const site = { ...environment, COPSE_STORE: `sqlite:${join(folder, 'site.sqlite')}` };
    const listening = { ...site, COPSE_WORKER_LISTEN: 'true', COPSE_WORKER_PORT: '0' };
    const first = await startServer({ dataDir, environment: listening });
    servers.push(first);
    const { metadata } = await createInstance(first.client, 'queued', await offerOf(first.client));
    await untilPower(first.client, metadata.id, 'Running');
    const copy = join(folder, 'copy');
    execFileSync('cp', ['-a', dataDir, copy]);
    const file = join(copy, 'local', 'servers', metadata.id, 'state.json');
    const record = JSON.parse(readFileSync(file, 'utf8')) as object;
    const refused = async (state: string, reason: RegExp) => {
      const about = JSON.stringify({ ...record, powerState: state });
      writeFileSync(file, about);
      const second = new ServerProcess({ dataDir: copy, environment: site });
      servers.push(second);
      expect(await second.exit, state).to.equal(1);
      expect(second.stderr).to.match(reason);
      expect(readFileSync(file, 'utf8'), state).to.equal(about);
      expect(emulatorsIn(copy), state).to.deep.equal([]);
    };
    for (const state of ['Queued', 'Building'])
      await refused(state, /Region local is already driven by another worker/);
    writeFileSync(join(copy, 'local', 'identity'), randomUUID());
    await refused('Queued', /in another data folder/);
    await untilPower(first.client, metadata.id, 'Running', 5);
  });

  it('that was moved keeps its machines', async () => {
    const before = await start(dataDir);
    const { metadata } = await createInstance(before.client, 'moved', await offerOf(before.client));
    await untilPower(before.client, metadata.id, 'Running');
    const machines = emulatorsIn(dataDir);
    await before.kill('SIGTERM');
    const moved = join(folder, 'moved');
    renameSync(dataDir, moved);
    const { client } = await start(moved);
    await untilPower(client, metadata.id, 'Running');
    expect(emulatorsIn(moved)).to.deep.equal(machines);
    expect(readlinkSync(`/proc/${machines[0] ?? 0}/cwd`)).to.include(moved);
    await client.delete(`/api/v2/instances/${metadata.id}`);
    await untilGone(client, metadata.id);
    expect(emulatorsIn(moved)).to.deep.equal([]);
  });
});
