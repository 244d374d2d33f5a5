/** The programs that the region needs: their paths, and whether they are usable. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { RegionError } from '../provider.js';

const run = promisify(execFile);

export interface Tools {
  /** Absolute paths. */
  qemu: string;
  qemuImg: string;
  isoMaker: string;
  qemuVersion: string;
}

/** Older ones lack `-action` and similar options, and no supported release has them. */
const leastVersion = [6, 2] as const;

/**
 * Rejects with a terminal RegionError that names the package to install. A bare name is resolved as in a shell, because
 * the machines get an empty environment.
 */
export async function findTools(options: { qemu: string; qemuImg: string }): Promise<Tools> {
  const qemu = await locate([options.qemu], 'The emulator', 'qemu-system-x86');
  const qemuImg = await locate([options.qemuImg], 'The disk tool qemu-img', 'qemu-utils');
  const isoMaker = await locate(
    ['genisoimage', 'mkisofs', 'xorrisofs'],
    'A program that creates ISO images',
    'genisoimage',
  );
  const qemuVersion = await versionOf(qemu, 'qemu-system-x86');
  await versionOf(qemuImg, 'qemu-utils');
  return { qemu, qemuImg, isoMaker, qemuVersion };
}

async function locate(candidates: string[], what: string, debianPackage: string): Promise<string> {
  for (const name of candidates) {
    try {
      const { stdout } = await run('/bin/sh', ['-c', 'command -v -- "$1"', 'sh', name]);
      if (stdout.trim().startsWith('/')) return stdout.trim();
    } catch {
      // Missing; the next one may exist.
    }
  }
  throw new RegionError(
    'terminal',
    `${what} is missing (${candidates.join(', ')}). Install the package ${debianPackage}.`,
  );
}

async function versionOf(program: string, debianPackage: string): Promise<string> {
  let output: string;
  try {
    output = (await run(program, ['--version'], { timeout: 10_000 })).stdout;
  } catch (cause) {
    throw new RegionError(
      'terminal',
      `A required program does not run. Reinstall the package ${debianPackage}.`,
      {
        cause,
      },
    );
  }
  const match = /version (\d+)\.(\d+)(\.\d+)?/.exec(output);
  const [major, minor] = [Number(match?.[1]), Number(match?.[2])];
  const enough = major > leastVersion[0] || (major === leastVersion[0] && minor >= leastVersion[1]);
  if (match === null || !enough) {
    const found = match?.[0] ?? 'an unknown version';
    throw new RegionError(
      'terminal',
      `QEMU ${leastVersion.join('.')} or newer is needed, but ${debianPackage} has ${found}.`,
    );
  }
  return match[0].slice('version '.length);
}
