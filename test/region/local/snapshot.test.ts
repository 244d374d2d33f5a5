import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { LocalRegion } from '../../../src/region/local/index.js';
import { Qmp } from '../../../src/region/local/qmp.js';
import type { ServerRequest } from '../../../src/region/provider.js';
import { makeBootable } from '../../support/bootable-disk.js';
import { idleImages } from '../../support/idle-guest.js';
import {
  cleanUp,
  imageDir,
  localOptions,
  patient,
  principal,
  processesIn,
  scratchFolder,
  skipLoudly,
  waitFor,
} from '../../support/region.js';
import { SerialShell } from '../../support/serial.js';

const suite = 'local region: snapshots';

(skipLoudly(suite) ? describe.skip : describe)(suite, function () {
  this.timeout(400_000);
  let folder: string;
  let region: LocalRegion;

  const open = async (images: string): Promise<void> => {
    region = new LocalRegion(localOptions(join(folder, 'region'), { imageDir: images, stopDeadline: 20 }));
    await region.open();
  };
  const request = async (change: Partial<ServerRequest> = {}): Promise<ServerRequest> => {
    const flavors = await region.listFlavors(principal, patient());
    const [image] = await region.listImages(principal, patient());
    return {
      id: randomUUID(),
      hostname: 'original',
      flavorId: flavors.find(({ metadata }) => metadata.name === 'tiny')?.metadata.id ?? '',
      imageId: image?.metadata.id ?? '',
      tags: [],
      ...change,
    };
  };
  const create = async (change: Partial<ServerRequest> = {}): Promise<ServerRequest> => {
    const server = await request(change);
    await region.ensureServer(server, patient());
    return server;
  };
  const homeOf = ({ id }: ServerRequest): string => join(folder, 'region', 'servers', id);
  const stored = (): string[] => readdirSync(join(folder, 'region', 'images'));
  const snapshot = (server: ServerRequest, imageId = randomUUID()): Promise<string> =>
    region.snapshotServer(server.id, { imageId, name: 'snap' }, patient()).then(() => imageId);
  const identity = async (server: ServerRequest): Promise<Record<string, string>> => {
    const shell = await SerialShell.open(homeOf(server));
    try {
      return {
        note: await shell.run('cat /root/note'),
        hostname: await shell.run('hostname'),
        instance: await shell.run('cat /var/lib/cloud/instance-id'),
        hostKey: await shell.run('dropbearkey -y -f /etc/dropbear/dropbear_ed25519_host_key | grep ssh-'),
        mac: await shell.run('cat /sys/class/net/eth0/address'),
      };
    } finally {
      shell.close();
    }
  };

  beforeEach(() => {
    folder = scratchFolder('snapshot');
  });
  afterEach(async () => {
    await region.close();
    await cleanUp(folder);
  });

  it('of a running guest holds what was synced, and boots as another machine; so does one of a stopped guest', async () => {
    await open(imageDir());
    const original = await create();
    const shell = await SerialShell.open(homeOf(original));
    await shell.run('echo kept > /root/note && sync');
    shell.close();
    const running = await snapshot(original);
    const first = await identity(original);
    await region.deleteServer(original.id, patient());

    const clone = await create({ imageId: running, hostname: 'clone' });
    const second = await identity(clone);
    expect(second).to.include({ note: 'kept', hostname: 'clone', instance: clone.id });
    for (const part of ['hostname', 'instance', 'hostKey', 'mac'])
      expect(second[part], part).to.be.a('string').and.not.equal(first[part]);

    await region.stopServer(clone.id, patient());
    const stopped = await snapshot(clone);
    await region.deleteServer(clone.id, patient());
    await region.images.remove(running, patient());
    const third = await create({ imageId: stopped, hostname: 'third' });
    expect(await identity(third)).to.include({ note: 'kept', hostname: 'third', instance: third.id });
  });

  it('is a disk of its own, in files that nobody writes to', async () => {
    await open(idleImages());
    const server = await create();
    const imageId = await snapshot(server);
    const image = join(folder, 'region', 'images', imageId);
    const info = JSON.parse(
      execFileSync('qemu-img', ['info', '--output=json', join(image, 'disk.qcow2')], { encoding: 'utf8' }),
    ) as { 'virtual-size': number; 'backing-filename'?: string };
    expect(info).to.not.have.property('backing-filename');
    expect(info['virtual-size']).to.equal(Math.ceil(1e9 / 2 ** 20) * 2 ** 20);
    execFileSync('qemu-img', ['check', '-q', join(image, 'disk.qcow2')]);
    expect(readdirSync(image).sort()).to.deep.equal(['disk.qcow2', 'image.json', 'initrd.img', 'vmlinuz']);
    for (const name of readdirSync(image)) expect(statSync(join(image, name)).mode & 0o222).to.equal(0);
    expect(JSON.parse(readFileSync(join(image, 'image.json'), 'utf8'))).to.include({
      format: 2,
      id: imageId,
    });
  });

  it('of a machine that its firmware boots is booted by the firmware as well', async () => {
    const images = join(folder, 'images');
    mkdirSync(join(images, 'bios'), { recursive: true });
    makeBootable(join(images, 'bios'));
    await open(images);
    const greets = async (id: string): Promise<boolean> =>
      (await region.consoleOutput(id, {}, patient())).contents.includes('from the disk');
    const server = await create();
    await waitFor('the disk has been booted', () => greets(server.id));
    const clone = await create({ imageId: await snapshot(server) });
    await waitFor('its copy has been booted', () => greets(clone.id));
  });

  it('of a machine whose disk is to grow at its next start has the size of the disk as it is', async () => {
    await open(idleImages());
    const server = await create();
    const flavors = await region.listFlavors(principal, patient());
    const flavorId = flavors.find(({ metadata }) => metadata.name === 'small')?.metadata.id ?? '';
    await region.resizeServer(server.id, { flavorId }, patient());
    const imageId = randomUUID();
    const image = await region.snapshotServer(server.id, { imageId, name: 'small' }, patient());
    expect(image.virtualSize).to.equal(Math.ceil(1e9 / 2 ** 20) * 2 ** 20);
    await region.stopServer(server.id, patient());
    await region.startServer(server.id, patient());
    const grown = await region.snapshotServer(server.id, { imageId: randomUUID(), name: 'large' }, patient());
    expect(grown.virtualSize).to.equal(Math.ceil(5e9 / 2 ** 20) * 2 ** 20);
  });

  it('that an earlier process began is ended and removed when the region opens', async () => {
    await open(idleImages());
    const server = await create();
    await region.close();
    const imageId = randomUUID();
    const left = join(folder, 'region', 'images', `.making-${imageId}`);
    mkdirSync(left);
    const target = join(left, 'disk.qcow2');
    const size = String(Math.ceil(1e9 / 2 ** 20) * 2 ** 20);
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', target, size]);
    await beginBackup(homeOf(server), target);
    const [pid] = processesIn(homeOf(server));
    const holds = (): boolean =>
      readdirSync(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`).includes(imageId));
    expect(holds()).to.equal(true);
    await open(idleImages());
    await waitFor('the remains are gone', () => !existsSync(left) && !holds());
    expect(stored()).to.deep.equal([]);
    // The same machine, and the same request, work on.
    expect(await snapshot(server, imageId)).to.equal(imageId);
    expect(processesIn(homeOf(server))).to.deep.equal([pid]);
  });

  it('that fails leaves no file, no job and the machine as it was', async () => {
    await open(idleImages());
    const server = await create();
    const images = join(folder, 'region', 'images');
    const imageId = randomUUID();
    // A file in the place of the folder of the copy cannot be made a folder.
    writeFileSync(join(images, imageId), '');
    let failed: unknown;
    await snapshot(server, imageId).catch((error: unknown) => (failed = error));
    expect(failed).to.include({ name: 'RegionError', kind: 'transient' });
    expect(stored()).to.deep.equal([imageId]);
    expect(await region.describeServers([server.id], patient())).to.have.nested.property(
      '[0].powerState',
      'Running',
    );
    await region.images.remove(imageId, patient());
    await snapshot(server, imageId);
  });
});

/** What a process does that is killed in the middle of a snapshot. */
async function beginBackup(server: string, target: string): Promise<void> {
  const qmp = await Qmp.connect(server, 'qmp.sock', 5000, () => undefined);
  const file = { driver: 'file', filename: target };
  await qmp.command('blockdev-add', { driver: 'qcow2', 'node-name': 'snapshot0', file });
  // So slow that it is still at it when the region opens.
  const pace = { sync: 'full', speed: 1000, 'auto-dismiss': false };
  await qmp.command('blockdev-backup', {
    'job-id': 'snapshot',
    device: 'disk0',
    target: 'snapshot0',
    ...pace,
  });
  qmp.close();
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
