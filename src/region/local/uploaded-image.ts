/** An image of content that a user has uploaded: checked before any program of QEMU sees it, then rewritten. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { timestamp } from '../../model/common.js';
import { type ImageRequest, type MadeImage, RegionError } from '../provider.js';
import type { ImageStore } from './image-store.js';
import { checkQcow2, checkRaw } from './qcow2-header.js';
import type { Uploads } from './uploads.js';

const run = promisify(execFile);
const disk = 'disk.qcow2';

/** What qemu-img may use of the host for a file that nobody trusts: KiB of memory, seconds of CPU, ms in all. */
const limits = { memory: 2 ** 21, cpu: 3600, time: 7_200_000 };

export interface ImageShop {
  images: ImageStore;
  uploads: Uploads;
  qemuImg: string;
}

/** Stores the image, or returns the one that an earlier attempt has stored. Refused content is removed. */
export async function makeUploaded(
  { images, uploads, qemuImg }: ImageShop,
  request: ImageRequest,
  signal: AbortSignal,
): Promise<MadeImage> {
  const { id, format } = request;
  const source = uploads.path(id);
  try {
    const image = await images.add(id, async (folder) => {
      const virtualSize = await checked(source, request, signal);
      await checkWithTools(qemuImg, { folder, source, format, virtualSize }, signal);
      const { name, architecture, os, minMemoryMiB = 1, checksum } = request;
      return {
        ...{ name, digest: checksum, architecture, virtualSize, minMemoryMiB, os },
        ...{ files: { disk }, created: timestamp() },
      };
    });
    await uploads.remove(id);
    return image;
  } catch (error) {
    if (error instanceof RegionError && error.kind === 'terminal') await uploads.remove(id);
    throw error;
  }
}

/** Size, checksum and header. */
async function checked(
  source: string,
  { format, sizeBytes, checksum }: ImageRequest,
  signal: AbortSignal,
): Promise<number> {
  const size = await stat(source).then(
    (found) => found.size,
    () => undefined,
  );
  if (size === undefined) throw refused('there is none; upload it again');
  if (size !== sizeBytes) throw refused(`${size} bytes have arrived instead of ${sizeBytes}`);
  const hash = createHash('sha256');
  await pipeline(createReadStream(source, { highWaterMark: 1 << 20 }), hash, { signal });
  const found = `sha256:${hash.digest('hex')}`;
  if (found !== checksum) throw refused(`its checksum is ${found}`);
  try {
    return Math.ceil((await (format === 'raw' ? checkRaw(source) : checkQcow2(source))) / 512) * 512;
  } catch (error) {
    throw refused(error instanceof Error ? error.message : 'it cannot be read');
  }
}

interface Conversion {
  folder: string;
  source: string;
  format: 'qcow2' | 'raw';
  virtualSize: number;
}

/** The header is plain; damaged tables behind it are found by qemu-img, which gets little of the host. */
async function checkWithTools(
  qemuImg: string,
  { folder, source, format, virtualSize }: Conversion,
  signal: AbortSignal,
): Promise<void> {
  const limited = async (options: string[], accepted: readonly number[], fault: string) => {
    const script = 'ulimit -v "$1" && ulimit -t "$2" && shift 2 && exec "$@"';
    const parts = ['-c', script, 'sh', String(limits.memory), String(limits.cpu), qemuImg, ...options];
    try {
      await run('/bin/sh', parts, { cwd: folder, signal, timeout: limits.time, maxBuffer: 1 << 20 });
    } catch (error) {
      signal.throwIfAborted();
      if (accepted.includes(Number((error as { code?: unknown }).code))) return;
      throw refused(fault, error);
    }
  };
  // 3: clusters that nothing refers to, which do no harm.
  if (format === 'qcow2')
    await limited(
      ['check', '-q', '-f', 'qcow2', source],
      [3],
      'its tables are damaged, or too large to check',
    );
  await limited(
    ['convert', '-q', '-f', format, '-O', 'qcow2', source, disk],
    [],
    `it cannot be read as a disk of ${virtualSize} bytes`,
  );
}

function refused(reason: string, cause?: unknown): RegionError {
  return new RegionError('terminal', `The content is refused: ${reason}.`, { cause });
}
