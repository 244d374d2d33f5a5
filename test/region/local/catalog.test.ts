/** Images are read as if an enemy had written them. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { silentLog, type Log } from '../../../src/model/log.js';
import { Catalog } from '../../../src/region/local/catalog.js';
import { emulatorArguments } from '../../../src/region/local/command-line.js';
import { diskSize } from '../../../src/region/local/storage.js';
import { scratchFolder } from '../../support/region.js';

const size = 64 << 20;

function qcow2(change: { magic?: number; backing?: bigint; crypt?: number; features?: bigint } = {}): Buffer {
  const header = Buffer.alloc(512);
  header.writeUInt32BE(change.magic ?? 0x514649fb, 0);
  header.writeUInt32BE(3, 4);
  header.writeBigUInt64BE(change.backing ?? 0n, 8);
  header.writeBigUInt64BE(BigInt(size), 24);
  header.writeUInt32BE(change.crypt ?? 0, 32);
  header.writeBigUInt64BE(change.features ?? 0n, 72);
  return header;
}

const good = {
  name: 'tiny',
  digest: `sha256:${'a'.repeat(64)}`,
  architecture: 'x86_64',
  virtualSize: size,
  minMemoryMiB: 96,
  os: { kernel: 'linux', family: 'debian', distro: 'debian', version: '12' },
  files: { kernel: 'vmlinuz', initrd: 'initrd.img', disk: 'disk.qcow2' },
  append: 'console=ttyS0 root=/dev/vda quiet',
  created: '2026-01-02T03:04:05Z',
};

const stored = '018f0000-0000-7000-8000-00000000000a';
const { append: _append, ...rest } = good;
/** Format 2: the firmware boots the disk. */
const bootable = { ...rest, format: 2, files: { disk: 'disk.qcow2' } };

describe('local region: images', () => {
  let imageDir: string;
  let complaints: object[];
  let catalog: Catalog;

  beforeEach(() => {
    imageDir = scratchFolder('images');
    complaints = [];
    const log: Log = { ...silentLog, warn: (details) => complaints.push(details) };
    catalog = new Catalog({
      regionId: 'region',
      imageDir,
      stored: join(imageDir, '.stored'),
      flavors: [],
      log,
    });
  });
  afterEach(() => {
    rmSync(imageDir, { recursive: true });
  });

  const add = (folder: string, manifest: unknown, disk = qcow2()): string => {
    const path = join(imageDir, folder);
    mkdirSync(path);
    writeFileSync(
      join(path, 'image.json'),
      typeof manifest === 'string' ? manifest : JSON.stringify(manifest),
    );
    for (const name of ['vmlinuz', 'initrd.img']) writeFileSync(join(path, name), 'x');
    writeFileSync(join(path, 'disk.qcow2'), disk);
    return path;
  };
  const names = async (): Promise<string[]> => (await catalog.images()).map(({ metadata }) => metadata.name);

  it('offers a good one', async () => {
    add('tiny', good);
    const [image] = await catalog.images();
    expect(image?.metadata).to.include({
      name: 'tiny',
      creationTime: '2026-01-02T03:04:05.000Z',
      createdBy: 'system',
    });
    expect(image?.spec).to.include({ sizeGiB: 1, minMemoryMiB: 96, virtualization: 'virtualized' });
  });

  it('offers one without a kernel, and keeps the id that it gives itself', async () => {
    add('given', { ...bootable, id: stored });
    expect((await catalog.images()).map(({ metadata }) => metadata.id)).to.deep.equal([stored]);
    const { files } = (await catalog.image(stored)) ?? {};
    expect(files).to.deep.equal({ disk: join(imageDir, 'given', 'disk.qcow2') });
  });

  it('finds a stored one by its id, and does not offer it', async () => {
    mkdirSync(join(imageDir, '.stored'));
    add(join('.stored', stored), { ...bootable, id: stored });
    expect(await names()).to.deep.equal([]);
    expect((await catalog.image(stored))?.id).to.equal(stored);
    const other = '018f0000-0000-7000-8000-00000000000b';
    add(join('.stored', other), { ...bootable, id: stored });
    expect(await catalog.image(other)).to.equal(undefined);
  });

  it('offers nothing without a folder', async () => {
    const nowhere = new Catalog({
      regionId: 'r',
      imageDir: join(imageDir, 'no'),
      stored: join(imageDir, 'none'),
      flavors: [],
      log: silentLog,
    });
    expect(await nowhere.images()).to.deep.equal([]);
  });

  it('leaves out, with one complaint each, what is wrong in any way', async () => {
    const bad: Record<string, unknown> = {
      text: 'not json',
      list: [],
      upperName: { ...good, name: 'Tiny' },
      path: { ...good, files: { ...good.files, kernel: '../../boot/vmlinuz' } },
      absolute: { ...good, files: { ...good.files, disk: '/etc/shadow' } },
      hidden: { ...good, files: { ...good.files, initrd: '.initrd' } },
      missing: { ...good, files: { ...good.files, initrd: 'nothing' } },
      quotes: { ...good, append: 'console=ttyS0 "init=/bin/sh"' },
      newline: { ...good, append: 'quiet\ninit=/bin/sh' },
      digest: { ...good, digest: 'sha256:1234' },
      time: { ...good, created: '2026-13-41T99:99:99Z' },
      wrongSize: { ...good, virtualSize: size + 1 },
      negative: { ...good, minMemoryMiB: -1 },
      extra: { ...good, command: 'rm' },
      markup: { ...good, os: { ...good.os, distro: '<script>' } },
      huge: { ...good, append: 'a'.repeat(100_000) },
      idOfOld: { ...good, id: stored },
      noKernel: { ...bootable, format: undefined },
      noAppend: { ...good, format: 2, append: undefined },
      onlyKernel: { ...bootable, files: { kernel: 'vmlinuz', disk: 'disk.qcow2' } },
    };
    for (const [folder, manifest] of Object.entries(bad)) add(folder, manifest);
    expect(await names()).to.deep.equal([]);
    expect(await names()).to.deep.equal([]);
    expect(complaints).to.have.length(Object.keys(bad).length);
  });

  it('leaves out a disk that would open other files', async () => {
    add('raw', good, Buffer.alloc(512));
    add('short', good, Buffer.alloc(10));
    add('backing', good, qcow2({ backing: 512n }));
    add('data', good, qcow2({ features: 4n }));
    add('encrypted', good, qcow2({ crypt: 1 }));
    expect(await names()).to.deep.equal([]);
    expect(complaints).to.have.length(5);
  });

  it('leaves out what is a link, a lone file or not finished', async () => {
    const path = add('linked', good);
    rmSync(join(path, 'vmlinuz'));
    symlinkSync('/etc/hostname', join(path, 'vmlinuz'));
    writeFileSync(join(imageDir, 'README'), '');
    add('.tiny-123', good);
    expect(await names()).to.deep.equal([]);
  });

  it('never throws, whatever the manifest says', async () => {
    const path = add('fuzz', good);
    const keys = fc.constantFrom(...Object.keys(good));
    await fc.assert(
      fc.asyncProperty(keys, fc.jsonValue(), async (key, value) => {
        writeFileSync(join(path, 'image.json'), JSON.stringify({ ...good, [key]: value }));
        await catalog.images();
      }),
      { numRuns: 100 },
    );
  });

  it('offers the newest of a name, and still finds the older', async () => {
    add('old', good);
    add('new', { ...good, digest: `sha256:${'b'.repeat(64)}`, created: '2026-02-01T00:00:00Z' });
    const listed = await catalog.images();
    expect(listed).to.have.length(1);
    const all = await catalog.all();
    expect(all).to.have.length(2);
    expect(listed[0]?.metadata.id).to.equal(all.find(({ manifest }) => manifest.digest.includes('bbb'))?.id);
    for (const { id } of all) expect((await catalog.image(id))?.id).to.equal(id);
  });
});

describe('local region: command line', () => {
  const image = {
    disk: '/i/a,b=c.qcow2',
    linux: { kernel: '/i/vmlinuz', initrd: '/i/initrd.img', append: 'console=ttyS0' },
  };
  const machine = {
    id: '018f0000-0000-7000-8000-000000000001',
    cpus: 2,
    memoryMiB: 128,
    mac: '52:54:00:01:02:03',
  };

  it('names the files of the server without a folder', () => {
    const line = emulatorArguments(machine, image, { accelerator: 'tcg', tbSize: 32 });
    expect(line.filter((word) => word.includes('/'))).to.have.length(3);
    const disk = line.find((word) => word.includes('disk0') && word.startsWith('{')) ?? '';
    expect(JSON.parse(disk)).to.have.nested.property('backing.file.filename', image.disk);
  });

  it('has the sandbox, starts paused and keeps the guest off the network', () => {
    for (const accelerator of ['tcg', 'kvm'] as const) {
      const line = emulatorArguments(machine, image, { accelerator, tbSize: 32 });
      expect(line).to.include('-S').and.include('user,id=n0,restrict=on').and.include('-sandbox');
      expect(line.join(' ')).to.include(
        accelerator === 'kvm' ? '-accel kvm -cpu host' : '-accel tcg,tb-size=32 -cpu max',
      );
    }
  });

  it('leaves the boot to the firmware if there is no kernel', () => {
    const line = emulatorArguments(machine, { disk: image.disk }, { accelerator: 'tcg', tbSize: 32 });
    expect(line).to.not.include('-kernel').and.not.include('-append');
    expect(line).to.include('virtio-blk-pci,drive=disk0,id=vd0,bootindex=0');
  });

  it('has disks of whole MiB, as large as promised and as the image needs', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 1, max: 1 << 20 }),
        (diskGB, mebibytes) => {
          const bytes = diskSize(diskGB, mebibytes * 2 ** 20);
          expect(bytes % 2 ** 20).to.equal(0);
          expect(bytes)
            .to.be.at.least(diskGB * 1e9)
            .and.at.least(mebibytes * 2 ** 20);
          expect(bytes).to.be.below(Math.max(diskGB * 1e9 + 2 ** 20, mebibytes * 2 ** 20 + 1));
        },
      ),
    );
  });
});
