/**
 * A copy of the disk of a running machine, made by QEMU itself as a block job: the disk as it was when the job began,
 * while the guest goes on writing. The guest is not asked, so the copy is what a power cut would have left.
 */
import { pause } from '../../platform/time.js';
import { RegionError } from '../provider.js';
import type { Emulator } from './emulator.js';
import { isObject } from './qmp-message.js';

/** Names within QEMU, known to the next process as well. */
const job = 'snapshot';
const node = 'snapshot0';

/** Milliseconds: closing the copy writes all of it to the host's disk. */
const closeTimeout = 120_000;
const shortestPause = 20;
const longestPause = 500;

/** Copies the machine's root disk into `target`, an empty qcow2 file of the same size. */
export async function backUpDisk(emulator: Emulator, target: string, signal: AbortSignal): Promise<void> {
  await endBackup(emulator);
  signal.throwIfAborted();
  try {
    await emulator.command('blockdev-add', {
      driver: 'qcow2',
      'node-name': node,
      discard: 'unmap',
      'detect-zeroes': 'unmap',
      file: { driver: 'file', filename: target },
    });
    await emulator.command('blockdev-backup', {
      'job-id': job,
      device: 'disk0',
      target: node,
      sync: 'full',
      // The error stays readable until it has been read.
      'auto-dismiss': false,
    });
    const trouble = await conclusion(emulator, signal);
    if (trouble !== undefined) {
      const message = `The disk of the server could not be copied: ${trouble}.`;
      throw new RegionError('transient', message);
    }
  } finally {
    if (!emulator.isGone) await endBackup(emulator);
  }
}

/** Ends the copy that an earlier process may have begun; QEMU then no longer has the file open. */
export async function endBackup(emulator: Emulator): Promise<void> {
  const status = (await jobState(emulator))?.status;
  if (status !== undefined) {
    if (status !== 'concluded') {
      // Refused if it has just come to its end.
      await emulator.command('job-cancel', { id: job }).catch(() => undefined);
      await conclusion(emulator);
    }
    await emulator.command('job-dismiss', { id: job });
  }
  if (await hasNode(emulator)) await emulator.command('blockdev-del', { 'node-name': node }, closeTimeout);
}

/** Waits for the end of the job. Undefined: it is complete; otherwise QEMU's reason. */
async function conclusion(emulator: Emulator, signal?: AbortSignal): Promise<string | undefined> {
  for (let wait = shortestPause; ; wait = Math.min(wait * 1.5, longestPause)) {
    const state = await jobState(emulator);
    if (state === undefined) return 'it was ended';
    if (state.status === 'concluded') return state.error;
    await pause(wait, signal === undefined ? {} : { signal });
  }
}

async function jobState(emulator: Emulator): Promise<{ status: string; error?: string } | undefined> {
  const jobs = await emulator.command('query-jobs');
  const found = Array.isArray(jobs) ? jobs.filter(isObject).find(({ id }) => id === job) : undefined;
  if (found === undefined) return undefined;
  const status = String(found['status']);
  return typeof found['error'] === 'string' ? { status, error: found['error'] } : { status };
}

async function hasNode(emulator: Emulator): Promise<boolean> {
  const nodes = await emulator.command('query-named-block-nodes', { flat: true });
  return Array.isArray(nodes) && nodes.filter(isObject).some((one) => one['node-name'] === node);
}
