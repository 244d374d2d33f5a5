/**
 * Whether a file that a user has brought is a plain, complete qcow2: decided from its first 64 KiB alone, at a bounded
 * cost, because qemu-img itself would open the files that a hostile header names. QEMU's docs/interop/qcow2.txt.
 */
import { open } from 'node:fs/promises';

/** Bytes of the disk that a guest may see at most. */
export const virtualLimit = 2 ** 40;

const headLimit = 65_536;
const magic = 0x514649fb;
/** Extensions of the header that name other files, or keys. */
const refusedExtensions = new Map([
  [0xe2792aca, 'it has a backing file'],
  [0x44415441, 'it has an external data file'],
  [0x0537be77, 'it is encrypted'],
]);

/** Returns the bytes of the disk that the guest sees. Throws an Error with the reason for a refusal. */
export function checkedSize(head: Buffer, fileSize: number): number {
  if (head.length < 72) throw new Error('it is too short');
  if (head.readUInt32BE(0) !== magic) throw new Error('it is not qcow2');
  const version = head.readUInt32BE(4);
  if (version !== 2 && version !== 3) throw new Error(`its version is ${version}`);
  if (version === 3 && head.length < 104) throw new Error('it is too short');
  if (head.readBigUInt64BE(8) !== 0n || head.readUInt32BE(16) !== 0) throw new Error('it has a backing file');
  if (head.readUInt32BE(32) !== 0) throw new Error('it is encrypted');
  if (head.readUInt32BE(60) !== 0) throw new Error('it has snapshots of its own');
  const clusterBits = head.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) throw new Error('its cluster size is not allowed');
  const cluster = 2 ** clusterBits;
  const size = head.readBigUInt64BE(24);
  if (size === 0n) throw new Error('its disk is empty');
  if (size > BigInt(virtualLimit)) throw new Error(`its disk is larger than ${virtualLimit} bytes`);
  checkTables(head, { size: Number(size), cluster, fileSize });
  if (version === 3) checkFeatures(head, cluster);
  checkExtensions(head, version === 3 ? head.readUInt32BE(100) : 72, cluster);
  return Number(size);
}

/** Tables that the header places outside of the file, or makes too small or too large for the disk. */
function checkTables(
  head: Buffer,
  { size, cluster, fileSize }: { size: number; cluster: number; fileSize: number },
): void {
  const inFile = (offset: bigint, bytes: number) =>
    offset > 0n && offset % BigInt(cluster) === 0n && offset + BigInt(bytes) <= BigInt(fileSize);
  const entries = head.readUInt32BE(36);
  const needed = Math.ceil(size / (cluster * (cluster / 8)));
  if (entries < needed || entries * 8 > 2 ** 25) throw new Error('its first table does not fit its disk');
  if (!inFile(head.readBigUInt64BE(40), entries * 8)) throw new Error('its first table is not in the file');
  const clusters = head.readUInt32BE(56);
  if (clusters === 0 || clusters * cluster > 2 ** 23)
    throw new Error('its table of references has a wrong size');
  if (!inFile(head.readBigUInt64BE(48), 1)) throw new Error('its table of references is not in the file');
}

function checkFeatures(head: Buffer, cluster: number): void {
  const incompatible = head.readBigUInt64BE(72);
  if ((incompatible & 1n) !== 0n) throw new Error('it was not closed cleanly');
  if ((incompatible & 2n) !== 0n) throw new Error('it is marked as damaged');
  if ((incompatible & 4n) !== 0n) throw new Error('it has an external data file');
  // Only another type of compression keeps all data in this file, in the known form.
  if ((incompatible & ~8n) !== 0n) throw new Error('it needs unknown features');
  if ((head.readBigUInt64BE(88) & 2n) !== 0n) throw new Error('it has an external data file');
  if (head.readUInt32BE(96) > 6) throw new Error('its references have a wrong size');
  const length = head.readUInt32BE(100);
  if (length < 104 || length % 8 !== 0 || length > Math.min(cluster, headLimit))
    throw new Error('its header has a wrong length');
  const compression = length > 104 && head.length > 104 ? head.readUInt8(104) : 0;
  if (compression > 1) throw new Error('its type of compression is unknown');
  if ((compression !== 0) !== ((incompatible & 8n) !== 0n))
    throw new Error('its header contradicts itself about compression');
}

function checkExtensions(head: Buffer, begin: number, cluster: number): void {
  const end = Math.min(cluster, head.length);
  for (let at = begin; at + 8 <= end;) {
    const type = head.readUInt32BE(at);
    if (type === 0) return;
    const refused = refusedExtensions.get(type);
    if (refused !== undefined) throw new Error(refused);
    // At least eight bytes ahead at each step, so that the loop ends.
    at += 8 + Math.ceil(head.readUInt32BE(at + 4) / 8) * 8;
    if (at > end) throw new Error('an extension of its header is too long');
  }
}

export async function checkQcow2(path: string): Promise<number> {
  const { head, size } = await headOf(path);
  return checkedSize(head, size);
}

/** A raw disk has no header; what begins like another format was declared by mistake. */
export async function checkRaw(path: string): Promise<number> {
  const { head, size } = await headOf(path);
  if (size % 512 !== 0) throw new Error('its size is no multiple of 512 bytes');
  if (size > virtualLimit) throw new Error(`it is larger than ${virtualLimit} bytes`);
  const begin = head.subarray(0, 21).toString('latin1');
  for (const [mark, format] of Object.entries(marks))
    if (begin.startsWith(mark)) throw new Error(`it is ${format}, not raw`);
  return size;
}

const marks = {
  'QFI\xfb': 'qcow2',
  KDMV: 'VMDK',
  COWD: 'VMDK',
  '# Disk DescriptorFile': 'VMDK',
  conectix: 'VHD',
  vhdxfile: 'VHDX',
  'QED\0': 'QED',
};

async function headOf(path: string): Promise<{ head: Buffer; size: number }> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(headLimit);
    const { bytesRead } = await file.read(head, 0, headLimit, 0);
    return { head: head.subarray(0, bytesRead), size: (await file.stat()).size };
  } finally {
    await file.close();
  }
}
