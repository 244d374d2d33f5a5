/**
 * Chooses how guests run. Opening /dev/kvm proves nothing: on some hosts every ioctl succeeds and an ordinary kernel
 * then hangs in its first instructions. So KVM is used only after one guest has really booted with it.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { Type } from 'typebox';
import { Check } from 'typebox/schema';
import type { Log } from '../../model/log.js';
import { RegionError } from '../provider.js';
import { acceleratorArguments, kernelArguments, sandbox, type Accelerator } from './command-line.js';
import type { LocalImage } from './catalog.js';
import { errorCode, writeDurably } from './files.js';
import { hostBootId } from './process-identity.js';

export const probeMarker = 'copse-probe-ok';
/** Milliseconds; with hardware support a guest needs far less than a second to get there. */
const probeTimeout = 10_000;

const Verdict = Type.Object({
  qemuVersion: Type.String(),
  kernel: Type.String(),
  bootId: Type.String(),
  image: Type.String(),
  works: Type.Boolean(),
  reason: Type.String(),
});

export interface AcceleratorQuestion {
  wanted: 'auto' | Accelerator;
  qemu: string;
  qemuVersion: string;
  /** The guest to test with. Without one there is no test. */
  image: LocalImage | undefined;
  /** Folder of the cached result. */
  dataDir: string;
  log: Log;
  /** For tests: replacements for /dev/kvm and for the probe's ten seconds (ms). */
  device?: string;
  timeout?: number;
}

export async function chooseAccelerator(question: AcceleratorQuestion): Promise<Accelerator> {
  const { wanted, log } = question;
  const choose = (accelerator: Accelerator, reason: string): Accelerator => {
    log.info({ accelerator, reason }, 'accelerator chosen');
    return accelerator;
  };
  if (wanted === 'tcg') return choose('tcg', 'set in the configuration');
  const device = question.device ?? '/dev/kvm';
  const usable = await access(device, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  if (wanted === 'kvm') {
    if (usable) return choose('kvm', 'set in the configuration');
    throw new RegionError(
      'terminal',
      'KVM is configured, but /dev/kvm is missing or not accessible to this user. Use accelerator auto or tcg.',
    );
  }
  if (!usable) return choose('tcg', `${device} is missing or not accessible to this user`);
  if (question.image?.files.linux === undefined)
    return choose('tcg', 'there is no image with a kernel to test KVM with');
  const verdict = await verdictOnKvm(question, question.image);
  return choose(verdict.works ? 'kvm' : 'tcg', verdict.reason);
}

/** Cached as long as emulator, host kernel, boot and image stay the same. */
async function verdictOnKvm(
  question: AcceleratorQuestion,
  image: LocalImage,
): Promise<{ works: boolean; reason: string }> {
  const path = join(question.dataDir, 'accelerator.json');
  const key = {
    qemuVersion: question.qemuVersion,
    kernel: release(),
    bootId: hostBootId(),
    image: image.manifest.digest,
  };
  const kept = await readKept(path, question.log);
  if (
    Check(Verdict, kept) &&
    Object.entries(key).every(([name, value]) => Reflect.get(kept, name) === value)
  ) {
    return { works: kept.works, reason: `${kept.reason} (cached)` };
  }
  const verdict = await tryKvm(question, image);
  // Not caching it only costs ten seconds at the next start.
  await writeDurably(path, `${JSON.stringify({ ...key, ...verdict }, undefined, 2)}\n`).catch(
    (error: unknown) => {
      question.log.warn({ err: error }, 'the result of the KVM test cannot be cached');
    },
  );
  return verdict;
}

/** If it is missing, damaged or unreadable, KVM is tested again. */
async function readKept(path: string, log: Log): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (errorCode(error) !== 'ENOENT')
      log.warn({ err: error }, 'the cached result of the KVM test cannot be read');
    return undefined;
  }
}

function probeArguments({ manifest, files: { linux } }: LocalImage): string[] {
  return [
    ...['-machine', 'q35', ...acceleratorArguments('kvm', 0), '-smp', '1'],
    ...['-m', String(manifest.minMemoryMiB), '-nodefaults', '-no-user-config', '-display', 'none'],
    ...['-no-reboot', '-sandbox', sandbox, '-chardev', 'stdio,id=ser0,signal=off', '-serial', 'chardev:ser0'],
    ...(linux === undefined ? [] : kernelArguments({ ...linux, append: `${linux.append} copse.probe` })),
  ];
}

function tryKvm(
  question: AcceleratorQuestion,
  image: LocalImage,
): Promise<{ works: boolean; reason: string }> {
  return new Promise((resolve) => {
    const child = spawn(question.qemu, probeArguments(image), {
      cwd: question.dataDir,
      env: {},
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [output, complaint] = ['', ''];
    const finish = (works: boolean, reason: string): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      question.log.debug({ works, output, complaint }, 'KVM tested');
      resolve({ works, reason });
    };
    const timer = setTimeout(() => {
      finish(false, 'a guest hangs under KVM');
    }, question.timeout ?? probeTimeout);
    child.stdout.setEncoding('latin1').on('data', (chunk: string) => {
      output = (output + chunk).slice(-4096);
      if (output.includes(probeMarker)) finish(true, 'a guest boots under KVM');
    });
    child.stderr.setEncoding('latin1').on('data', (chunk: string) => {
      complaint = (complaint + chunk).slice(-4096);
    });
    child.on('error', () => {
      finish(false, 'the emulator does not start');
    });
    child.on('close', () => {
      finish(false, 'the emulator fails under KVM');
    });
  });
}
