/** The header of a qcow2 file, parsed here because qemu-img itself would open the files that a hostile header names. */
import { open } from 'node:fs/promises';

/** Byte offsets: QEMU's docs/interop/qcow2.txt. Rejects with the reason if the file is not a plain, complete qcow2. */
export async function readQcow2Size(path: string): Promise<number> {
  const file = await open(path, 'r');
  const header = Buffer.alloc(80);
  try {
    const { bytesRead } = await file.read(header, 0, header.length, 0);
    if (bytesRead < 72) throw new Error('it is too short');
  } finally {
    await file.close();
  }
  if (header.readUInt32BE(0) !== 0x514649fb) throw new Error('it is not qcow2');
  const version = header.readUInt32BE(4);
  if (version !== 2 && version !== 3) throw new Error(`its version is ${version}`);
  if (header.readBigUInt64BE(8) !== 0n) throw new Error('it has a backing file');
  if (header.readUInt32BE(32) !== 0) throw new Error('it is encrypted');
  // Incompatible features: only with "dirty" (bit 0) and compression type (bit 3) is all data in this file.
  if (version === 3 && (header.readBigUInt64BE(72) & ~0b1001n) !== 0n)
    throw new Error('it needs unknown features');
  return Number(header.readBigUInt64BE(24));
}

/** Bytes of the disk that the guest sees, of a file that QEMU made here and no guest can change the header of. */
export async function readVirtualSize(path: string): Promise<number> {
  const file = await open(path, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(32), 0, 32, 0);
    return Number(buffer.readBigUInt64BE(24));
  } finally {
    await file.close();
  }
}
