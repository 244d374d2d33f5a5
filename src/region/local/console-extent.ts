/**
 * Which part of everything that the guest has ever written is stored, so that an offset means the same byte for ever. The
 * file console.offset has the offset at which console.log begins; what came before it ends there (console.log.1).
 */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { names } from './command-line.js';
import { errorCode, writeDurably } from './files.js';

export const olderName = `${names.console}.1`;
const offsetName = 'console.offset';

interface Offset {
  /** Offset of the first byte of console.log. */
  start: number;
  /** Inode of a console.log that is being moved to console.log.1: the process may be killed on either side of that. */
  moving?: number;
}

/** Offsets in bytes. */
export interface Extent {
  /** Of the first stored byte. */
  first: number;
  /** Of the first byte of console.log. */
  current: number;
  /** After the last byte. */
  end: number;
}

async function about(path: string): Promise<{ size: number; ino: number }> {
  try {
    return await stat(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return { size: 0, ino: 0 };
    throw error;
  }
}

export async function sizeOf(path: string): Promise<number> {
  return (await about(path)).size;
}

async function offsetOf(folder: string): Promise<Offset> {
  try {
    return JSON.parse(await readFile(join(folder, offsetName), 'utf8')) as Offset;
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
  // Never moved, or only by a version that did not count: what is stored is all that there is.
  return { start: await sizeOf(join(folder, olderName)) };
}

export async function extentOf(folder: string): Promise<Extent> {
  const { start, moving } = await offsetOf(folder);
  const older = await about(join(folder, olderName));
  const current = older.ino === moving ? start + older.size : start;
  return { first: current - older.size, current, end: current + (await sizeOf(join(folder, names.console))) };
}

/** To be called before console.log is moved. */
export async function beginMove(folder: string): Promise<void> {
  const { current } = await extentOf(folder);
  const { ino } = await about(join(folder, names.console));
  await write(folder, { start: current, moving: ino });
}

/** To be called when nothing is written to the moved file any more, before it is shortened. */
export async function endMove(folder: string): Promise<void> {
  await write(folder, { start: (await extentOf(folder)).current });
}

function write(folder: string, offset: Offset): Promise<void> {
  return writeDurably(join(folder, offsetName), JSON.stringify(offset));
}
