/**
 * Only one process serves a region's folder: a monitor accepts one client, and two processes would fight over the
 * machines.
 */
import { link, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from 'typebox';
import { Check } from 'typebox/schema';
import { RegionError } from '../provider.js';
import { unreadable } from './file-fault.js';
import { errorCode } from './files.js';
import { identify, isAlive } from './process-identity.js';
import { pause } from '../../platform/time.js';

const Owner = Type.Object({
  pid: Type.Integer(),
  startTime: Type.String(),
  bootId: Type.String(),
  /** Device and inode of the folder, so that a copy has no owner. Older versions did not write it. */
  folder: Type.Optional(Type.String()),
});

/**
 * Takes the folder, waiting up to `timeoutMs` for another process to leave it (a restart overlaps a little). The claim
 * of a killed process is taken over. Resolves with the function that releases the folder.
 */
export async function takeFolder(folder: string, timeoutMs: number): Promise<() => Promise<void>> {
  const path = join(folder, 'owner.json');
  const temporary = `${path}.${process.pid}`;
  const { dev, ino } = await stat(folder, { bigint: true });
  const here = `${dev}:${ino}`;
  const self = { ...identify(process.pid), folder: here };
  await writeFile(temporary, `${JSON.stringify(self)}\n`, { mode: 0o600 });
  const deadline = Date.now() + timeoutMs;
  try {
    for (;;) {
      try {
        // Unlike a rename this fails if another process was first.
        await link(temporary, path);
        return () => rm(path, { force: true });
      } catch (error) {
        if (errorCode(error) !== 'EEXIST') throw error;
      }
      if (!(await ownerLives(path, here))) await rm(path, { force: true });
      else if (Date.now() > deadline) {
        throw new RegionError(
          'terminal',
          'Another process serves this region. Stop it, or use another data folder.',
        );
      } else await pause(100);
    }
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Rejects with RegionError `transient` if the owner of the folder cannot be read: it may have one. */
async function ownerLives(path: string, folder: string): Promise<boolean> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw unreadable('Who serves this region (owner.json)', error);
  }
  const owner = parsed(text);
  if (!Check(Owner, owner)) return false;
  return (owner.folder === undefined || owner.folder === folder) && isAlive(owner);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
