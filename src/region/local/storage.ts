/** The content of a server's folder before its first boot: the seed with its identity, and its disk. */
import { execFile } from 'node:child_process';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { names } from './command-line.js';

const run = promisify(execFile);
/** Milliseconds; both programs take about ten. */
const timeout = 60_000;

/**
 * NoCloud (cloud-init's data source for a local disk): an ISO with the volume id `cidata`. meta-data is JSON with a
 * member on each line, which is YAML for cloud-init and easy for the tiny guest.
 */
export async function makeSeed(
  folder: string,
  isoMaker: string,
  seed: { id: string; hostname: string; userData: Buffer | undefined },
): Promise<void> {
  const source = join(folder, 'seed.tmp');
  await rm(source, { recursive: true, force: true });
  await mkdir(source, { mode: 0o700 });
  const metaData = { 'instance-id': seed.id, 'local-hostname': seed.hostname };
  await writeFile(join(source, 'meta-data'), `${JSON.stringify(metaData, undefined, 2)}\n`);
  await writeFile(join(source, 'user-data'), seed.userData ?? '');
  const temporary = `${names.seed}.tmp`;
  const options = ['-quiet', '-volid', 'cidata', '-joliet', '-rock', '-output', temporary, 'seed.tmp'];
  await run(isoMaker, options, { cwd: folder, timeout });
  await rename(join(folder, temporary), join(folder, names.seed));
  await rm(source, { recursive: true, force: true });
}

/**
 * An overlay on the image's disk. `size` in bytes. The formats are always given explicitly: a guest can write any
 * header.
 */
export async function makeDisk(folder: string, qemuImg: string, base: string, size: number): Promise<void> {
  const temporary = `${names.disk}.tmp`;
  const options = ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', base, temporary, String(size)];
  await run(qemuImg, options, { cwd: folder, timeout });
  await rename(join(folder, temporary), join(folder, names.disk));
}

/** Enlarges the disk to `size` in bytes, unless it has that size. */
export async function growDisk(folder: string, qemuImg: string, size: number): Promise<void> {
  await run(qemuImg, ['resize', '-q', '-f', 'qcow2', names.disk, String(size)], { cwd: folder, timeout });
}

/** Bytes of a root disk: the size of the flavor, in whole MiB, and at least what the image needs. */
export function diskSize(diskGB: number, imageSize: number): number {
  const mebibyte = 2 ** 20;
  return Math.max(Math.ceil((diskGB * 1e9) / mebibyte) * mebibyte, imageSize);
}

/** Where a disk is made: the program works in that folder, and is ended with the signal. */
export interface DiskPlace {
  qemuImg: string;
  folder: string;
  name: string;
  signal: AbortSignal;
}

/** `size` in bytes. */
export async function makeEmptyDisk(place: DiskPlace, size: number): Promise<void> {
  const options = ['create', '-q', '-f', 'qcow2', place.name, String(size)];
  await run(place.qemuImg, options, { cwd: place.folder, timeout, signal: place.signal });
}

/**
 * Copies the disk of a server that is off, with what its image contributes. It fails if a machine has the disk open.
 * The base is given, since the image folder may have been moved since the overlay was made.
 */
export async function copyDisk(place: DiskPlace, source: { overlay: string; base: string }): Promise<void> {
  const file = (filename: string): object => ({ driver: 'qcow2', file: { driver: 'file', filename } });
  const disk = { ...file(join(source.overlay, names.disk)), backing: file(source.base) };
  const options = ['convert', '-q', '-O', 'qcow2', `json:${JSON.stringify(disk)}`, place.name];
  await run(place.qemuImg, options, { cwd: place.folder, signal: place.signal });
}
