/** A disk that a machine's firmware boots: its first sector writes a greeting to the serial port, and then does nothing. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const size = 1 << 20;

/** Makes the folder an image without a kernel. */
export function makeBootable(folder: string): void {
  const disk = Buffer.alloc(size);
  // mov dx, the first serial port; for each character: mov al, character; out dx, al
  const said = [...Buffer.from('\r\nfrom the disk login: ')].flatMap((character) => [0xb0, character, 0xee]);
  // sti; hlt; jmp to hlt
  disk.set([0xba, 0xf8, 0x03, ...said, 0xfb, 0xf4, 0xeb, 0xfd]);
  disk.writeUInt16LE(0xaa55, 0x1fe);
  const [raw, qcow2] = [join(folder, 'disk.raw'), join(folder, 'disk.qcow2')];
  writeFileSync(raw, disk);
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, qcow2]);
  rmSync(raw);
  const manifest = {
    format: 2,
    name: 'bios',
    digest: `sha256:${createHash('sha256').update(readFileSync(qcow2)).digest('hex')}`,
    architecture: 'x86_64',
    virtualSize: size,
    minMemoryMiB: 32,
    os: { kernel: 'linux', family: 'none', distro: 'none', version: '1' },
    files: { disk: 'disk.qcow2' },
    created: '2026-01-02T03:04:05Z',
  };
  writeFileSync(join(folder, 'image.json'), JSON.stringify(manifest));
}
