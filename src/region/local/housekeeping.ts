/** Limits the size of files that a guest can make grow. */
import { join } from 'node:path';
import { names } from './command-line.js';
import { sizeOf } from './console-extent.js';
import { rotateConsole } from './console-log.js';
import type { Emulator } from './emulator.js';
import { exists } from './files.js';
import { boundJournal, journalName } from './journal.js';

const otherSerial = 'serial-b.sock';

export async function keepHouse(
  folder: string,
  emulator: Emulator | undefined,
  consoleLimit: number,
): Promise<void> {
  const live = emulator !== undefined && !emulator.isGone ? emulator : undefined;
  const reopen = async (): Promise<void> => {
    if (live !== undefined) await reopenConsole(folder, live);
  };
  // A process killed during a rotation leaves QEMU writing to the old file.
  if (live !== undefined && !(await exists(join(folder, names.console)))) await reopen();
  await rotateConsole(folder, consoleLimit, reopen);
  if (live !== undefined) await boundJournal(folder, await sizeOf(join(folder, journalName)));
}

/**
 * Gives the serial port the same kind of backend with a new log file. QEMU opens the new socket before it removes the
 * old one, so the two need different names.
 */
async function reopenConsole(folder: string, emulator: Emulator): Promise<void> {
  const path = (await exists(join(folder, names.serial))) ? otherSerial : names.serial;
  await emulator.command('chardev-change', {
    id: 'ser0',
    backend: {
      type: 'socket',
      data: {
        addr: { type: 'unix', data: { path } },
        server: true,
        wait: false,
        logfile: names.console,
        logappend: true,
      },
    },
  });
}
