/** kill -9 at each step of a snapshot: its image is whole or absent, the machine is the same, and nothing is left over. */
import { execFileSync } from 'node:child_process';
import { existsSync, type FSWatcher, readdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Image } from '../../src/model/image.js';
import type { Instance } from '../../src/model/instance.js';
import type { Task } from '../../src/model/task.js';
import { idleImages } from '../support/idle-guest.js';
import {
  cleanUp,
  createInstance,
  emulatorsIn,
  environmentOf,
  machinesMissing,
  offerOf,
  type ServerProcess,
  startServer,
  temporaryFolder,
  until,
  untilGone,
  untilPower,
} from '../support/process.js';

/** The moments at which the server is killed: when a file of this name appears, in the order of the work. */
const points = {
  'the request was accepted': undefined,
  'the folder of the image was made': /^\.making-[^/]*$/,
  'the disk was begun': /\/disk\.qcow2$/,
  'the disk was copied': /\/vmlinuz$/,
  'the manifest was begun': /\/image\.json\.tmp$/,
  'the manifest was written': /\/image\.json$/,
  'the image got its name': /^[0-9a-f-]{36}$/,
};

describe('kill -9 of the server during a snapshot', function () {
  this.timeout(240_000);
  const missing = machinesMissing();
  if (missing !== undefined) {
    it(`SKIPPED, because ${missing}`);
    return;
  }
  let dataDir: string;
  let images: string;
  let server: ServerProcess;
  let instance: Instance;
  const start = () =>
    startServer({
      dataDir,
      environment: environmentOf({
        // The guest does not react to its power button.
        local: { imageDir: idleImages(), accelerator: 'tcg', stopDeadline: 1 },
      }),
    });

  before(async () => {
    dataDir = temporaryFolder();
    images = join(dataDir, 'local', 'images');
    server = await start();
    instance = await createInstance(server.client, 'source', await offerOf(server.client));
    instance = await untilPower(server.client, instance.metadata.id, 'Running');
  });
  after(async () => {
    await server.kill('SIGKILL');
    await cleanUp(dataDir);
  });

  /** Kills the server as soon as a file of this name appears among the images. */
  async function killAt(point: RegExp | undefined): Promise<void> {
    const watchers: FSWatcher[] = [];
    const killed = new Promise<void>((resolve) => {
      const notice = (name: string): void => {
        if (point?.test(name) === true) {
          server.child.kill('SIGKILL');
          resolve();
        }
        if (name.includes('/') || !name.startsWith('.making-') || !existsSync(join(images, name))) return;
        watchers.push(watch(join(images, name), (_event, below) => notice(`${name}/${below}`)));
        // What came before the watcher.
        for (const below of readdirSync(join(images, name))) notice(`${name}/${below}`);
      };
      watchers.push(watch(images, (_event, name) => notice(String(name))));
    });
    await request();
    if (point === undefined) server.child.kill('SIGKILL');
    else await killed;
    for (const watcher of watchers) watcher.close();
    await server.exit;
  }

  let imageId: string;
  let taskId: string;
  let count = 0;

  async function request(): Promise<void> {
    const name = `snap-${(count += 1)}`;
    const path = `/api/v2/instances/${instance.metadata.id}/snapshot`;
    const { body } = await server.client.post<Image>(path, { metadata: { name } });
    [imageId, taskId] = [body.metadata.id, body.status.taskId ?? ''];
  }

  async function survive(): Promise<void> {
    const disk = join(dataDir, 'local', 'servers', instance.metadata.id, 'disk.qcow2');
    server = await start();
    const image = await until('the image to be made', 60, async () => {
      const { body } = await server.client.get<Image>(`/api/v2/images/${imageId}`);
      return body.status.state === 'creating' ? undefined : body;
    });
    const task = (await server.client.get<Task>(`/api/v2/tasks/${taskId}`)).body;
    expect(image.status.state, JSON.stringify(task.cause)).to.equal('ready');
    expect(task.status).to.equal('succeeded');
    await until('only the image to be there', 20, () =>
      readdirSync(images).join() === imageId ? true : undefined,
    );
    execFileSync('qemu-img', ['check', '-q', '-U', disk]);
    execFileSync('qemu-img', ['check', '-q', join(images, imageId, 'disk.qcow2')]);
  }

  /** The image is as good as any other, and can be deleted. */
  async function use(): Promise<void> {
    const offer = { ...(await offerOf(server.client)), imageId };
    const clone = await createInstance(server.client, `clone-${count}`, offer);
    await untilPower(server.client, clone.metadata.id, 'Running');
    await server.client.delete(`/api/v2/instances/${clone.metadata.id}`);
    await untilGone(server.client, clone.metadata.id);
    await server.client.delete(`/api/v2/images/${imageId}`);
    await until('the image to be gone', 20, () => (readdirSync(images).length === 0 ? true : undefined));
  }

  describe('of a running instance', () => {
    for (const [moment, point] of Object.entries(points)) {
      it(`when ${moment}`, async () => {
        const before = emulatorsIn(dataDir);
        expect(before).to.have.length(1);
        await killAt(point);
        await survive();
        expect(emulatorsIn(dataDir)).to.deep.equal(before);
        await untilPower(server.client, instance.metadata.id, 'Running');
        await use();
      });
    }
  });

  describe('of a stopped instance', () => {
    before(async () => {
      await server.client.post(`/api/v2/instances/${instance.metadata.id}/stop`);
      await untilPower(server.client, instance.metadata.id, 'Stopped');
    });
    for (const [moment, point] of Object.entries(points)) {
      it(`when ${moment}`, async () => {
        await killAt(point);
        await survive();
        expect(emulatorsIn(dataDir)).to.deep.equal([]);
        await use();
      });
    }
  });
});
