/**
 * The event journal: a second monitor of QEMU on its standard output, which is the file events.log. It continues while
 * no server process is running, so that afterwards a guest that shut down can be distinguished from one that crashed.
 */
import { open, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from './files.js';
import { parseQmp } from './qmp-message.js';

/**
 * How a machine ended, from QEMU's SHUTDOWN event. `crash`: no such event. `other`: decided by QEMU. `unknown`: the
 * journal could not be read.
 */
export type Ending =
  'guest-shutdown' | 'guest-reset' | 'host-quit' | 'host-signal' | 'other' | 'crash' | 'unknown';

export const journalName = 'events.log';

/** A guest can cause one event per second (its clock); this is enough for days. */
const sizeLimit = 4 << 20;
/** The ending is near the end of the file: only a handful of events follow it. */
const tailSize = 64 << 10;

const endings: Record<string, Ending> = {
  'guest-shutdown': 'guest-shutdown',
  'guest-reset': 'guest-reset',
  'host-qmp-quit': 'host-quit',
  'host-signal': 'host-signal',
};

/** The ending recorded in the journal; the last one counts. */
export function endingOf(text: string): Ending {
  let ending: Ending = 'crash';
  for (const line of text.split('\n')) {
    const message = parseQmp(line);
    if (message.kind !== 'event' || message.name !== 'SHUTDOWN') continue;
    ending = endings[String(message.data['reason'])] ?? 'other';
  }
  return ending;
}

/** Reads the ending of the current boot. Without a journal it is `crash`. */
export async function readEnding(folder: string): Promise<Ending> {
  return endingOf(await readTail(join(folder, journalName), tailSize));
}

/** The last bytes of a file as text; empty if there is no file. */
export async function readTail(path: string, bytes: number): Promise<string> {
  let file;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return '';
    throw error;
  }
  try {
    const { size } = await file.stat();
    const length = Math.min(size, bytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead).toString('utf8');
  } finally {
    await file.close();
  }
}

/** Keeps the journal of a running machine small. QEMU appends, so a truncated file simply starts again. */
export async function boundJournal(folder: string, size: number): Promise<void> {
  if (size > sizeLimit) await truncate(join(folder, journalName), 0);
}
