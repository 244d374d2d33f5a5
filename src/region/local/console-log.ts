/** The console log: console.log, written by QEMU, and console.log.1 from before the last rotation. */
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beginOf, type ConsoleOutput, continuationBytes, partLimit, partOf } from '../../model/console.js';
import { names } from './command-line.js';
import { beginMove, endMove, extentOf, olderName, sizeOf } from './console-extent.js';
import { errorCode } from './files.js';
import { readTail } from './journal.js';

const blockSize = 64 << 10;

/** The last `limit` bytes, or only the last `lines` lines of them. Read from the end, so a huge log costs little. */
export async function readConsole(folder: string, limit: number, lines?: number): Promise<ConsoleOutput> {
  const { end } = await extentOf(folder);
  const blocks: Buffer[] = [];
  const none = lines !== undefined && lines <= 0;
  const want = { bytes: none ? 0 : limit, newlines: lines === undefined ? Infinity : lines + 1 };
  for (const name of [names.console, olderName]) {
    if (want.bytes > 0 && want.newlines > 0) await readBackwards(join(folder, name), want, blocks);
  }
  const bytes = Buffer.concat(blocks.reverse());
  // The limit may have cut a character; its remains are dropped rather than replaced.
  const cut = want.bytes === 0 ? continuationBytes(bytes) : 0;
  return partOf(bytes.subarray(cut), end - bytes.length + cut, lines);
}

/** The stored output from this offset on, as much as one response may have. */
export async function readConsoleFrom(
  folder: string,
  wanted: number,
  lines?: number,
): Promise<ConsoleOutput> {
  const { first, current, end } = await extentOf(folder);
  const start = beginOf(wanted, first, end);
  const stop = Math.min(end, start + partLimit);
  const older = await readRange(join(folder, olderName), start - first, Math.min(stop, current) - first);
  const newer = await readRange(
    join(folder, names.console),
    Math.max(start, current) - current,
    stop - current,
  );
  const bytes = Buffer.concat([older, newer]);
  // What was asked for may be gone, and a character with it.
  const cut = start === wanted ? 0 : continuationBytes(bytes);
  return partOf(bytes.subarray(cut), start + cut, lines);
}

/** The bytes from one position to another, or to the end of the file. */
async function readRange(path: string, from: number, to: number): Promise<Buffer> {
  if (to <= from) return Buffer.alloc(0);
  const file = await open(path, 'r');
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(to - from), 0, to - from, from);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Adds blocks, last first, until enough bytes or newlines are found or the beginning of the file is reached. */
async function readBackwards(
  path: string,
  want: { bytes: number; newlines: number },
  blocks: Buffer[],
): Promise<void> {
  let file;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  try {
    let end = (await file.stat()).size;
    while (end > 0 && want.bytes > 0 && want.newlines > 0) {
      const length = Math.min(blockSize, end, want.bytes);
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, end - length);
      const block = buffer.subarray(0, bytesRead);
      blocks.push(block);
      end -= length;
      want.bytes -= length;
      if (want.newlines !== Infinity) for (const byte of block) if (byte === 10) want.newlines -= 1;
    }
  } finally {
    await file.close();
  }
}

/**
 * Rotates a log that has grown beyond half the limit. `reopen` makes a running QEMU start a new console.log; until
 * then, QEMU continues to write to the moved file, so no byte is lost.
 */
export async function rotateConsole(
  folder: string,
  limit: number,
  reopen: () => Promise<void>,
): Promise<boolean> {
  const path = join(folder, names.console);
  if ((await sizeOf(path)) <= limit / 2) return false;
  const older = join(folder, olderName);
  await beginMove(folder);
  await rename(path, older);
  try {
    await reopen();
  } catch (error) {
    // QEMU still writes to the moved file, so it gets its own name back.
    await rename(older, path);
    throw error;
  }
  await endMove(folder);
  await keepTail(older, Math.ceil(limit / 2));
  return true;
}

/** A fast guest may have written far more than the limit since the last check. */
async function keepTail(path: string, bytes: number): Promise<void> {
  if ((await sizeOf(path)) <= bytes * 2) return;
  const temporary = `${path}.tmp`;
  const [source, target] = [await open(path, 'r'), await open(temporary, 'w', 0o600)];
  try {
    let at = (await source.stat()).size - bytes;
    for (let begun = false; ; begun = true) {
      const { bytesRead, buffer } = await source.read(Buffer.alloc(blockSize), 0, blockSize, at);
      if (bytesRead === 0) break;
      // It may begin in the middle of a character.
      const skipped = begun ? 0 : continuationBytes(buffer.subarray(0, bytesRead));
      await target.write(buffer, skipped, bytesRead - skipped);
      at += bytesRead;
    }
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await source.close();
    await target.close();
  }
  await rename(temporary, path);
}

/** Watches for the login prompt in output after `from`; returns true once it has been seen. */
export class PromptWatch {
  readonly #path: string;
  #from: number;
  #tail = '';

  constructor(folder: string, from: number) {
    this.#path = join(folder, names.console);
    this.#from = from;
  }

  async seen(): Promise<boolean> {
    const size = await sizeOf(this.#path);
    // Smaller than before: the log was rotated.
    if (size < this.#from) this.#from = 0;
    if (size > this.#from) {
      const text = await readTail(this.#path, Math.min(size - this.#from, blockSize));
      this.#from = size;
      this.#tail = (this.#tail + text).slice(-2 * blockSize);
    }
    return this.#tail.includes('login:');
  }
}
