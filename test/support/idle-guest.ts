/**
 * An image for tests of what is around a guest, not in it: its kernel writes a login prompt and then does nothing. A
 * real emulator runs it, with every device, but it needs a twentieth of the CPU time that Linux needs to boot.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { imageDir, scratchFolder } from './region.js';

const sector = 512;
/** Where the kernel's code is: behind its header. */
const entry = 0x280;

/** A kernel of Linux's boot protocol that never leaves its first part, which runs in real mode. */
function idleKernel(): Buffer {
  const kernel = Buffer.alloc(3 * sector);
  const setupSectors = 1;
  kernel.writeUInt8(setupSectors, 0x1f1);
  kernel.writeUInt16LE(0xaa55, 0x1fe);
  // The code begins with a jump over the header: jmp short.
  kernel.set([0xeb, entry - 0x202], 0x200);
  kernel.write('HdrS', 0x202, 'latin1');
  const protocol = 0x0204;
  kernel.writeUInt16LE(protocol, 0x206);
  const loadedHigh = 1;
  kernel.writeUInt8(loadedHigh, 0x211);
  const initrdLimit = 0x37ffffff;
  kernel.writeUInt32LE(initrdLimit, 0x22c);
  // mov dx, the first serial port; for each character: mov al, character; out dx, al
  const said = [...Buffer.from('\r\nidle login: ')].flatMap((character) => [0xb0, character, 0xee]);
  // sti; hlt; jmp to hlt
  kernel.set([0xba, 0xf8, 0x03, ...said, 0xfb, 0xf4, 0xeb, 0xfd], entry);
  return kernel;
}

let folder: string | undefined;

/** A folder with this image only, for `imageDir`; it is removed when the process ends. */
export function idleImages(): string {
  if (folder !== undefined) return folder;
  folder = scratchFolder('idle-image');
  const made = folder;
  // Also for a region that runs as another user.
  chmodSync(made, 0o755);
  process.once('exit', () => rmSync(made, { recursive: true, force: true }));
  const [tiny = ''] = readdirSync(imageDir()).filter((name) => name.startsWith('tiny-'));
  const manifest = JSON.parse(readFileSync(join(imageDir(), tiny, 'image.json'), 'utf8')) as object;
  const kernel = idleKernel();
  const hash = createHash('sha256').update(kernel).digest('hex');
  const image = join(made, `tiny-${hash.slice(0, 12)}`);
  mkdirSync(image);
  copyFileSync(join(imageDir(), tiny, 'disk.qcow2'), join(image, 'disk.qcow2'));
  writeFileSync(join(image, 'vmlinuz'), kernel);
  writeFileSync(join(image, 'initrd.img'), Buffer.alloc(sector));
  writeFileSync(join(image, 'image.json'), JSON.stringify({ ...manifest, digest: `sha256:${hash}` }));
  return made;
}
