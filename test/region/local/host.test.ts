/** What the region finds out about its host: programs, accelerator, processes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLog } from '../../../src/model/log.js';
import { chooseAccelerator, probeMarker } from '../../../src/region/local/accelerator.js';
import type { LocalImage } from '../../../src/region/local/catalog.js';
import {
  findEmulator,
  identify,
  isAlive,
  killEmulator,
  waitGone,
} from '../../../src/region/local/process-identity.js';
import { findTools } from '../../../src/region/local/tools.js';
import { RegionError } from '../../../src/region/provider.js';
import { whileUnreadable } from '../../support/read-faults.js';
import { failureOf, rejectionOf, scratchFolder } from '../../support/region.js';

describe('local region: host', () => {
  let folder: string;

  beforeEach(() => {
    folder = scratchFolder('host');
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  function program(name: string, script: string): string {
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
    return path;
  }

  describe('accelerator', () => {
    const image = {
      id: 'image',
      files: { disk: '/d', linux: { kernel: '/k', initrd: '/i', append: 'quiet' } },
      manifest: { digest: 'sha256:1', minMemoryMiB: 96 },
    } as unknown as LocalImage;

    const choose = (script: string, change: object = {}): Promise<string> => {
      const calls = join(folder, 'calls');
      const qemu = program('qemu', `echo "$*" >> '${calls}'\n${script}`);
      const device = join(folder, 'kvm');
      writeFileSync(device, '');
      return chooseAccelerator({
        wanted: 'auto',
        qemu,
        qemuVersion: '7.2.0',
        image,
        dataDir: folder,
        log: silentLog,
        device,
        ...change,
      });
    };
    const tries = (): number => readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n').length;

    it('is KVM once a guest has booted with it, which is remembered', async () => {
      expect(await choose(`echo ${probeMarker}; exec /bin/sleep 60`)).to.equal('kvm');
      expect(await choose('exit 1')).to.equal('kvm');
      expect(tries()).to.equal(1);
      expect(readFileSync(join(folder, 'calls'), 'utf8'))
        .to.include('-accel kvm -cpu host')
        .and.include('copse.probe');
    });

    it('is emulation when the emulator gives up, which is remembered too', async () => {
      expect(await choose('echo boom >&2; exit 134')).to.equal('tcg');
      expect(await choose(`echo ${probeMarker}`)).to.equal('tcg');
      expect(tries()).to.equal(1);
    });

    it('is tried again when emulator or image are others, or the memory is damaged', async () => {
      await choose('exit 1');
      expect(await choose(`echo ${probeMarker}`, { qemuVersion: '8.0.0' })).to.equal('kvm');
      const other = { ...image, manifest: { ...image.manifest, digest: 'sha256:2' } };
      expect(await choose('exit 1', { image: other })).to.equal('tcg');
      writeFileSync(join(folder, 'accelerator.json'), '{');
      expect(await choose(`echo ${probeMarker}`)).to.equal('kvm');
      expect(tries()).to.equal(4);
    });

    for (const code of ['EACCES', 'EIO', 'EMFILE', 'EISDIR', 'ELOOP'] as const) {
      it(`is tried again when what was found cannot be read or kept (${code})`, async () => {
        await choose('exit 1');
        const kept = (path: string): boolean => path.startsWith(join(folder, 'accelerator.json'));
        await whileUnreadable(kept, code, async () => {
          expect(await choose(`echo ${probeMarker}`)).to.equal('kvm');
        });
        expect(tries()).to.equal(2);
        expect(await choose(`echo ${probeMarker}`)).to.equal('tcg');
      });
    }

    it('is emulation when a guest hangs', async () => {
      expect(await choose('exec /bin/sleep 60', { timeout: 100 })).to.equal('tcg');
    });

    it('is emulation without device, without an image, and on demand', async () => {
      expect(await choose('exit 1', { device: join(folder, 'none') })).to.equal('tcg');
      expect(await choose('exit 1', { image: undefined })).to.equal('tcg');
      expect(await choose('exit 1', { wanted: 'tcg' })).to.equal('tcg');
    });

    it('is KVM on demand, without a try, or a refusal', async () => {
      expect(await choose('exit 1', { wanted: 'kvm' })).to.equal('kvm');
      const refused = choose('exit 1', { wanted: 'kvm', device: join(folder, 'none') });
      expect(await failureOf(refused)).to.equal('terminal');
    });
  });

  describe('programs', () => {
    it('names the package of one that is missing or too old', async () => {
      const qemu = program('qemu', 'echo "QEMU emulator version 7.2.1 (Debian)"');
      const old = program('old', 'echo "QEMU emulator version 5.2.0"');
      const image = program('qemu-img', 'echo "qemu-img version 7.2.1"');
      const broken = program('broken', 'exit 1');
      const message = async (options: { qemu: string; qemuImg: string }): Promise<string> =>
        String(await rejectionOf(findTools(options)));
      expect(await message({ qemu: 'no-such-program', qemuImg: image })).to.include('qemu-system-x86');
      expect(await message({ qemu: old, qemuImg: image }))
        .to.include('6.2')
        .and.include('qemu-system-x86');
      expect(await message({ qemu, qemuImg: join(folder, 'none') })).to.include('qemu-utils');
      expect(await message({ qemu, qemuImg: broken })).to.include('qemu-utils');
    });
  });

  describe('processes', () => {
    let child: ChildProcess | undefined;
    afterEach(async () => {
      // Also when the test has failed in the midst.
      if (child?.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    });

    it('know the living from the dead, and from a namesake', async () => {
      const guest = { id: 'one', folder };
      child = spawn('/bin/sleep', ['60'], { argv0: 'guest=one', cwd: folder, stdio: 'ignore' });
      await once(child, 'spawn');
      const identity = identify(child.pid ?? 0);
      if (identity === undefined) throw new Error('it is not there');
      expect(isAlive(identity)).to.equal(true);
      for (const change of [{ startTime: '1' }, { bootId: 'another' }]) {
        const other = { ...identity, ...change };
        expect(isAlive(other)).to.equal(false);
        killEmulator(other, guest);
      }
      expect(isAlive(identity)).to.equal(true);
      const exit = once(child, 'exit');
      killEmulator(identity, guest);
      expect(await waitGone(identity, 5000)).to.equal(true);
      await exit;
      expect(identify(identity.pid)).to.equal(undefined);
    });

    for (const code of ['EACCES', 'EIO', 'EMFILE'] as const) {
      it(`are not taken for gone when they cannot be examined (${code})`, async () => {
        const child = spawn('/bin/sleep', ['60'], { argv0: 'guest=one', cwd: folder, stdio: 'ignore' });
        await once(child, 'spawn');
        const identity = identify(child.pid ?? 0);
        if (identity === undefined) throw new Error('it is not there');
        const guest = { id: 'one', folder };
        try {
          await whileUnreadable(
            (path) => path.startsWith('/proc/'),
            code,
            async () => {
              expect(isAlive(identity)).to.equal(true);
              expect(await waitGone(identity, 0)).to.equal(false);
              expect(() => identify(identity.pid)).to.throw(code);
              expect(() => {
                killEmulator(identity, guest);
              }).to.throw(RegionError, 'cannot be examined');
              expect(() => findEmulator(guest, [identity.pid])).to.throw(RegionError, 'cannot be examined');
            },
          );
          expect(findEmulator(guest)).to.deep.equal(identity);
        } finally {
          child.kill('SIGKILL');
        }
      });
    }
  });
});
