/** One QEMU process, from its spawn or adoption to its end. Independent of why it runs. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Log } from '../../model/log.js';
import { RegionError } from '../provider.js';
import { names } from './command-line.js';
import { unreadable } from './file-fault.js';
import { errorCode } from './files.js';
import { journalName, readEnding, readTail, type Ending } from './journal.js';
import { identify, isAlive, killEmulator, type ProcessIdentity } from './process-identity.js';
import { Qmp, QmpError } from './qmp.js';
import { pause, settlesWithin } from '../../platform/time.js';

const run = promisify(execFile);

/** Milliseconds. QEMU sends its greeting 150 ms after being spawned; on a loaded host it may take long. */
const linkTimeout = 30_000;
const quitTimeout = 10_000;
const greetTimeout = 5000;
const journalPause = 500;
const journalTries = 5;

/** Error codes of a spawn that will always fail, unlike one that fails for lack of processes, memory or files. */
const missing = new Set(['ENOENT', 'EACCES', 'ENOEXEC', 'ENOTDIR', 'ELOOP']);

export interface EmulatorPlace {
  id: string;
  /** The server's folder, a real path. */
  folder: string;
  log: Log;
  /** QEMU's run state, reported after each (re)connection and when the guest panics or cannot write to its disk. */
  onStatus: (status: string) => void;
}

export class Emulator {
  readonly identity: ProcessIdentity;
  /** Resolves when the process is gone; never rejects. */
  readonly ended: Promise<Ending>;
  readonly #place: EmulatorPlace;
  #qmp: Qmp | undefined;
  #linked: (() => void)[] = [];
  #gone = false;
  #released = false;
  /** The monitor reported the name of another guest. */
  #misnamed = false;

  /** Adopts a running process. */
  constructor(place: EmulatorPlace, identity: ProcessIdentity) {
    this.#place = place;
    this.identity = identity;
    this.ended = this.#follow();
  }

  /** Starts QEMU, with the guest paused. Rejects with RegionError if the program does not start at all. */
  static async spawn(place: EmulatorPlace, program: string, options: string[]): Promise<Emulator> {
    const { folder } = place;
    const streams: FileHandle[] = [];
    try {
      await openStreams(folder, streams);
      const child = spawn(program, options, {
        cwd: folder,
        detached: true,
        env: {},
        stdio: streams.map(({ fd }) => fd),
      });
      await once(child, 'spawn').catch((cause: unknown) => {
        const kind = missing.has(errorCode(cause) ?? '') ? 'terminal' : 'transient';
        throw new RegionError(kind, 'The emulator cannot be started on this host.', { cause });
      });
      child.unref();
      try {
        const identity = identityOf(child);
        if (identity !== undefined) return new Emulator(place, identity);
        const cause = await readLog(folder);
        throw new RegionError('transient', 'The emulator exited at once.', { cause });
      } catch (error) {
        // If it lives, nothing would know of it.
        child.kill('SIGKILL');
        throw error;
      }
    } finally {
      // The emulator has its own descriptors by now, so a failure here does no harm.
      await Promise.allSettled(streams.map((stream) => stream.close()));
    }
  }

  get isGone(): boolean {
    return this.#gone;
  }

  /** QEMU's run state: running, prelaunch, paused, io-error, guest-panicked ... */
  async status(timeout = linkTimeout): Promise<string> {
    return (await this.#link(timeout)).status(timeout);
  }

  /** Lets the guest run; no effect if it is already running. */
  async continue(): Promise<void> {
    await (await this.#link()).command('cont');
  }

  /** Presses the power button. */
  async pressPower(): Promise<void> {
    await (await this.#link(greetTimeout)).command('system_powerdown', undefined, greetTimeout);
  }

  /** `timeout`: milliseconds, if it may take longer than others. */
  async command(name: string, data?: object, timeout?: number): Promise<unknown> {
    return (await this.#link()).command(name, data, timeout);
  }

  /** Cuts the power: asks QEMU to exit, and kills it if it does not. Rejects with RegionError if even that fails. */
  async cut(): Promise<Ending> {
    let asked = true;
    try {
      await (await this.#link(greetTimeout)).command('quit', undefined, greetTimeout);
    } catch (error) {
      // QEMU may close the monitor before it responds; if it does not even listen, there is nothing to wait for.
      asked =
        !isAlive(this.identity) ||
        !(error instanceof RegionError || (error instanceof QmpError && error.timedOut));
      if (!this.#gone) this.#place.log.debug({ err: error }, 'QEMU did not respond to quit');
    }
    if (!asked || !(await settlesWithin(this.ended, quitTimeout))) {
      this.#place.log.warn({ pid: this.identity.pid }, 'QEMU does not exit; killing it');
      if (this.#misnamed) {
        throw new RegionError('transient', "The machine's monitor has the name of another machine.");
      }
      killEmulator(this.identity, this.#place);
      if (!(await settlesWithin(this.ended, quitTimeout))) {
        throw new RegionError('transient', 'The machine could not be terminated.');
      }
    }
    return this.ended;
  }

  /** Releases the process without touching it. `ended` then never resolves. */
  release(): void {
    this.#released = true;
    this.#qmp?.close();
  }

  /** The connection, waiting for it if necessary. */
  async #link(timeout = linkTimeout): Promise<Qmp> {
    const known = this.#qmp;
    if (known !== undefined) return known;
    const linked = new Promise<void>((resolve) => this.#linked.push(resolve));
    const late = !(await settlesWithin(Promise.race([linked, this.ended]), timeout));
    const qmp = this.#connection();
    if (!late && qmp !== undefined) return qmp;
    if (this.#gone) throw new RegionError('transient', 'The machine ended.', { cause: await this.logTail() });
    throw new RegionError('transient', 'The machine does not respond.');
  }

  /** A method, because the compiler would assume that a field it saw empty is still empty. */
  #connection(): Qmp | undefined {
    return this.#qmp;
  }

  /** The last error messages of QEMU itself. For the log, never for users. */
  async logTail(): Promise<string> {
    return readLog(this.#place.folder);
  }

  /** Keeps one connection to the monitor open as long as the process lives. */
  async #follow(): Promise<Ending> {
    let wait = 20;
    while (isAlive(this.identity)) {
      if (this.#released) return new Promise<never>(() => undefined);
      try {
        const qmp = await this.#connect();
        wait = 20;
        await qmp.closed;
      } catch (error) {
        // Just spawned, or about to exit; anything else is worth a log line.
        const code = errorCode(error);
        if (code !== 'ENOENT' && code !== 'ECONNREFUSED')
          this.#place.log.debug({ err: error }, 'no QMP connection');
      }
      this.#qmp = undefined;
      await pause(wait, { background: true });
      wait = Math.min(wait * 1.5, 1000);
    }
    this.#gone = true;
    return this.#ending();
  }

  /** Its journal shows that; if it cannot be read for a while, the reason is unknown. */
  async #ending(): Promise<Ending> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await readEnding(this.#place.folder);
      } catch (error) {
        this.#place.log.error({ err: error, tries }, 'cannot read how a machine ended');
        if (tries === journalTries || this.#released) return 'unknown';
        await pause(journalPause, { background: true });
      }
    }
  }

  async #connect(): Promise<Qmp> {
    const { folder, id, onStatus } = this.#place;
    const qmp = await Qmp.connect(folder, names.monitor, greetTimeout, (name) => {
      if (name === 'GUEST_PANICKED') onStatus('guest-panicked');
      if (name === 'BLOCK_IO_ERROR') void this.#tellStatus(qmp);
    });
    try {
      if (this.#released) throw new Error('let go');
      this.#misnamed = (await qmp.guestName()) !== id;
      if (this.#misnamed) throw new Error('the monitor belongs to another machine');
    } catch (error) {
      qmp.close();
      throw error;
    }
    this.#qmp = qmp;
    for (const resolve of this.#linked.splice(0)) resolve();
    await this.#tellStatus(qmp);
    return qmp;
  }

  async #tellStatus(qmp: Qmp): Promise<void> {
    try {
      this.#place.onStatus(await qmp.status());
    } catch (error) {
      this.#place.log.debug({ err: error }, 'QEMU reported no status');
    }
  }
}

/** Undefined: it ended. A process whose identity cannot be read is terminated: it could not be found again. */
function identityOf(child: ChildProcess): ProcessIdentity | undefined {
  try {
    return child.pid === undefined ? undefined : identify(child.pid);
  } catch (error) {
    child.kill('SIGKILL');
    throw unreadable('The process of the machine', error);
  }
}

function readLog(folder: string): Promise<string> {
  return readTail(join(folder, 'qemu.log'), 4096);
}

/**
 * Sets QEMU's three streams: the journal's monitor uses stdin and stdout, so these are a pipe and the journal file. The
 * pipe is opened for reading and writing and inherited like that: QEMU itself holds its writing end and never reads an
 * end of file.
 */
async function openStreams(folder: string, streams: FileHandle[]): Promise<void> {
  const fifo = join(folder, 'control.fifo');
  await rm(fifo, { force: true });
  await run('mkfifo', ['-m', '600', 'control.fifo'], { cwd: folder });
  const control = await open(fifo, constants.O_RDWR);
  streams.push(control);
  await control.write('{"execute":"qmp_capabilities"}\n');
  // The journal starts over at each boot. Nothing else writes to it: the previous process is gone.
  await rm(join(folder, journalName), { force: true });
  streams.push(await open(join(folder, journalName), 'a', 0o600));
  streams.push(await open(join(folder, 'qemu.log'), 'a', 0o600));
}
