/** Content that users upload to the local region: what is refused before QEMU sees it, and what becomes an image. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect } from 'chai';
import { uuidv7 } from 'uuidv7';
import { unknownOs } from '../../../src/model/stored-image.js';
import { RegionError } from '../../../src/region/provider.js';
import { Catalog } from '../../../src/region/local/catalog.js';
import { ImageStore } from '../../../src/region/local/image-store.js';
import { checkedSize } from '../../../src/region/local/qcow2-header.js';
import { makeUploaded } from '../../../src/region/local/uploaded-image.js';
import { Uploads } from '../../../src/region/local/uploads.js';
import { RecordingLog } from '../../support/log.js';

describe('content for an image of the local region', () => {
  let folder: string;
  let uploads: Uploads;
  let images: ImageStore;
  const { signal } = new AbortController();
  const qemu = (...options: string[]) => execFileSync('qemu-img', options, { cwd: folder, stdio: 'pipe' });

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'copse-uploads-'));
    const log = new RecordingLog();
    const stored = join(folder, 'images');
    const catalog = new Catalog({
      regionId: uuidv7(),
      imageDir: join(folder, 'none'),
      flavors: [],
      log,
      stored,
    });
    images = new ImageStore(stored, catalog, log);
    await images.open();
    uploads = new Uploads(join(folder, 'uploads'));
    qemu('create', '-q', '-f', 'qcow2', 'plain.qcow2', '8M');
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write -P 7 64k 1M', 'plain.qcow2'], { cwd: folder });
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const plain = () => readFileSync(join(folder, 'plain.qcow2'));

  async function make(content: Buffer, format: 'qcow2' | 'raw' = 'qcow2') {
    const id = uuidv7();
    const checksum = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    const place = { offset: 0, limit: content.length };
    await uploads.receive(id, place, Readable.from([content]), signal);
    const request = { id, name: 'mine', format, sizeBytes: content.length, checksum };
    const about = { architecture: 'x86_64' as const, os: unknownOs };
    const shop = { images, uploads, qemuImg: 'qemu-img' };
    return { id, checksum, image: await makeUploaded(shop, { ...request, ...about }, signal) };
  }
  const reasonFor = (content: Buffer, format: 'qcow2' | 'raw' = 'qcow2') =>
    make(content, format).then(
      () => 'accepted',
      (error: unknown) => {
        expect(error).to.be.instanceOf(RegionError);
        expect((error as RegionError).kind).to.equal('terminal');
        return (error as Error).message;
      },
    );

  it('becomes a flattened qcow2: plain, compressed, or raw', async () => {
    qemu('convert', '-c', '-f', 'qcow2', '-O', 'qcow2', 'plain.qcow2', 'small.qcow2');
    qemu('convert', '-f', 'qcow2', '-O', 'raw', 'plain.qcow2', 'plain.raw');
    for (const [file, format] of [
      ['plain.qcow2', 'qcow2'],
      ['small.qcow2', 'qcow2'],
      ['plain.raw', 'raw'],
    ] as const) {
      const { id, checksum, image } = await make(readFileSync(join(folder, file)), format);
      const disk = join(folder, 'images', id, 'disk.qcow2');
      expect(image).to.deep.equal({ virtualSize: 8 * 2 ** 20, sizeBytes: statSync(disk).size, checksum });
      qemu('compare', '-f', 'qcow2', '-F', 'raw', disk, 'plain.raw');
      expect(await uploads.received(id), 'the upload is gone').to.equal(0);
    }
  });

  it('is refused, and removed, if its header is hostile', async () => {
    const secret = join(folder, 'secret');
    writeFileSync(secret, 'x'.repeat(2 ** 20));
    qemu('create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', secret, 'backed.qcow2');
    qemu('create', '-q', '-f', 'qcow2', '-o', 'data_file=other.raw,data_file_raw=on', 'data.qcow2', '1M');
    qemu('create', '-q', '-f', 'qcow2', 'huge.qcow2', '1000T');
    qemu('create', '-q', '-f', 'qcow2', '-o', 'extended_l2=on', 'extended.qcow2', '1M');
    qemu('create', '-q', '-f', 'vmdk', 'disk.vmdk', '1M');
    qemu('convert', '-f', 'qcow2', '-O', 'qcow2', 'plain.qcow2', 'snapped.qcow2');
    qemu('snapshot', '-c', 'one', 'snapped.qcow2');
    for (const [file, reason] of [
      ['backed.qcow2', 'it has a backing file'],
      ['data.qcow2', 'it has an external data file'],
      ['huge.qcow2', 'larger than'],
      ['extended.qcow2', 'it needs unknown features'],
      ['disk.vmdk', 'it is not qcow2'],
      ['snapped.qcow2', 'it has snapshots of its own'],
    ] as const)
      expect(await reasonFor(readFileSync(join(folder, file))), file).to.include(reason);
    expect(await reasonFor(plain(), 'raw')).to.include('it is qcow2, not raw');
    expect(await reasonFor(readFileSync(join(folder, 'disk.vmdk')), 'raw')).to.include('VMDK');
    for (const [offset, value, reason] of [
      [32, 1, 'encrypted'],
      [20, 40, 'cluster size'],
      [36, 0, 'first table'],
      [40, 0x7fffffff, 'first table'],
      [56, 0xffffffff, 'table of references'],
      [76, 1, 'closed cleanly'],
      [76, 2, 'damaged'],
      [76, 4, 'external data file'],
      [96, 60, 'references have a wrong size'],
      [100, 7, 'wrong length'],
      [4, 4, 'version'],
    ] as const) {
      const content = plain();
      content.writeUInt32BE(value, offset);
      expect(await reasonFor(content), `${offset}: ${value}`).to.include(reason);
    }
    expect(await reasonFor(Buffer.alloc(10))).to.include('too short');
  });

  it('is judged in bounded time, whatever its header: 1000 random and mutated ones', () => {
    const begin = process.cpuUsage();
    let accepted = 0;
    for (let round = 0; round < 1000; round += 1) {
      const content = round % 4 === 0 ? Buffer.alloc(4096) : plain();
      const bytes = round % 4 === 0 ? content.length : 1 + (round % 9);
      for (let at = 0; at < bytes; at += 1) {
        const place = round % 4 === 0 ? at : Math.floor(Math.random() * 600);
        content.writeUInt8(Math.floor(Math.random() * 256), place);
      }
      if (round % 4 === 0) content.writeUInt32BE(0x514649fb, 0);
      try {
        const size = checkedSize(content.subarray(0, 65_536), content.length);
        expect(size).to.be.within(1, 2 ** 40);
        accepted += 1;
      } catch (error) {
        expect((error as Error).name).to.equal('Error');
      }
    }
    expect(accepted).to.be.below(900);
    const { user, system } = process.cpuUsage(begin);
    expect((user + system) / 1000).to.be.below(10_000);
  });
});
