/** One process serves a region's folder: a monitor takes one client, and two masters would fight over the machines. */
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from 'typebox';
import { Value } from 'typebox/value';
import { RegionError } from '../provider.js';
import { errorCode } from './files.js';
import { identify, isAlive } from './process-identity.js';
import { pause } from './time.js';

const Owner = Type.Object({ pid: Type.Integer(), startTime: Type.String(), bootId: Type.String() });

/**
 * Takes the folder, waiting up to `patience` ms for another process to leave it (a restart overlaps a little). What a
 * killed process left is taken over. Resolves with the function that gives the folder back.
 */
export async function takeFolder(folder: string, patience: number): Promise<() => Promise<void>> {
  const path = join(folder, 'owner.json');
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, `${JSON.stringify(identify(process.pid))}\n`, { mode: 0o600 });
  const deadline = Date.now() + patience;
  try {
    for (;;) {
      try {
        // Unlike a rename this fails when somebody was there first.
        await link(temporary, path);
        return () => rm(path, { force: true });
      } catch (error) {
        if (errorCode(error) !== 'EEXIST') throw error;
      }
      if (!(await ownerLives(path))) await rm(path, { force: true });
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

async function ownerLives(path: string): Promise<boolean> {
  try {
    const owner: unknown = JSON.parse(await readFile(path, 'utf8'));
    return Value.Check(Owner, owner) && isAlive(owner);
  } catch {
    return false;
  }
}
