/** The power of one machine: on, off, reboot. Its caller holds the machine's lock. */
import { join } from 'node:path';
import type { Log } from '../../model/log.js';
import { RegionError, type RebootOptions } from '../provider.js';
import { waitBooted } from './boot-watch.js';
import { CatchUp } from './catch-up.js';
import { emulatorArguments, names, type Accelerator } from './command-line.js';
import { sizeOf } from './console-extent.js';
import { Emulator, type EmulatorPlace } from './emulator.js';
import { readable } from './file-fault.js';
import type { Ending } from './journal.js';
import type { Operation, Operations } from './operations.js';
import { findEmulator, hostBootId, type ProcessIdentity } from './process-identity.js';
import { isListenedTo } from './qmp.js';
import type { ServerRecord } from './record.js';
import { growIfDue, type Workshop } from './server-folder.js';
import { setStarted, setState, type ServerState } from './server-state.js';
import type { StartQueue } from './start-queue.js';
import { settlesWithin } from '../../platform/time.js';
import { judge, remains, troubleOf, type Fact } from './verdict.js';

/** Interval in ms at which a guest that does not react is asked again: a booting one does not listen yet. */
const askAgain = 3000;
/** Milliseconds that a machine gets to respond when there is an alternative. */
const timeoutMs = 5000;
const toRun = (next: ServerRecord): unknown => (next.wanted = 'running');

export interface PowerHost extends Workshop {
  accelerator: Accelerator;
  tbSize: number;
  /** Milliseconds. */
  stopDeadline: number;
  startSlot: number;
  starts: StartQueue;
  log: Log;
}

export class Power {
  readonly #state: ServerState;
  readonly #operations: Operations;
  readonly #host: PowerHost;
  readonly #place: EmulatorPlace;
  readonly #log: Log;
  readonly #closing = new AbortController();
  readonly #catchUp: CatchUp;
  #emulator: Emulator | undefined;

  constructor(state: ServerState, operations: Operations, host: PowerHost, log: Log) {
    this.#state = state;
    this.#operations = operations;
    this.#host = host;
    this.#log = log;
    this.#catchUp = new CatchUp(state, operations, this.#closing.signal);
    const onStatus = (status: string): void => {
      this.#takeStatus(status);
    };
    this.#place = { id: state.id, folder: state.folder, log, onStatus };
  }

  /** The process, if it is alive. */
  get emulator(): Emulator | undefined {
    return this.#emulator?.isGone === false ? this.#emulator : undefined;
  }

  /** Makes the guest run, from any state. */
  bringUp(operation: Operation): Promise<void> {
    return this.#act(operation, async () => {
      const { emulator } = this;
      const status = await emulator?.status();
      if (status === 'paused' || status === 'io-error') {
        await this.#state.commit(toRun);
        await emulator?.continue();
      }
      if (status === 'running' || status === 'paused' || status === 'io-error') {
        return this.#state.commit((next) => {
          toRun(next);
          next.continued = true;
          setState(next, 'Running');
        });
      }
      if (emulator !== undefined && status !== 'prelaunch') await this.#cut(emulator);
      await this.#boot(operation.signal, operation, toRun);
    });
  }

  /** Asks the guest, and cuts the power after the deadline. If the caller gives up, the machine is as it was. */
  stop(operation: Operation): Promise<void> {
    return this.#act(operation, async () => {
      const { emulator } = this;
      const off = (next: ServerRecord): void => {
        next.wanted = 'stopped';
        next.rebooting = false;
        setState(next, 'Stopped');
      };
      if (emulator !== undefined) {
        await this.#state.commit((next) => {
          off(next);
          setState(next, 'Stopping');
        });
        await this.#powerDown(emulator, operation.signal);
      }
      this.#emulator = undefined;
      await this.#state.commit(off);
    });
  }

  reboot({ hard, request }: RebootOptions, operation: Operation): Promise<void> {
    const begun = (next: ServerRecord): void => {
      next.wanted = 'running';
      next.rebooting = true;
      if (request === undefined) delete next.reboot;
      else next.reboot = request;
    };
    return this.#act(operation, async () => {
      const { emulator } = this;
      if (emulator !== undefined) {
        operation.queued = !hard;
        await this.#state.commit((next) => {
          begun(next);
          setState(next, 'Stopping');
        });
        if (hard) await this.#cut(emulator);
        else await this.#powerDown(emulator, operation.signal);
        operation.queued = false;
      }
      // Now that it is off, it must be started again, whether or not the caller still waits.
      await this.#boot(operation.overtaken, operation, begun);
    });
  }

  /**
   * Terminates the process, even an unrecorded one, and resolves when it is known to be gone. Rejects with RegionError
   * `transient` if it cannot be terminated, or may exist without being visible.
   */
  async destroy(): Promise<void> {
    for (let emulator = this.#find(); emulator !== undefined; emulator = this.#find()) {
      await this.#cut(emulator);
    }
    // A host may hide the processes of other users, but not that a socket is listened on.
    if (await readable("The monitor's socket", isListenedTo(this.#state.folder, names.monitor))) {
      throw new RegionError(
        'transient',
        'The machine is still running, as a process that cannot be terminated from here.',
      );
    }
  }

  /** After a failed deletion: whatever remains of the server is not running. */
  stay(operation: Operation): Promise<void> {
    const message = 'The machine was stopped, but its deletion did not finish.';
    return this.#takeStock(operation, { wanted: 'stopped', powerState: 'Stopped', message });
  }

  /** The process, even an unrecorded one. */
  #find(): Emulator | undefined {
    if (this.emulator !== undefined) return this.emulator;
    const { id, folder } = this.#state;
    const found = findEmulator({ id, folder });
    return found === undefined ? undefined : this.#watch(new Emulator(this.#place, found));
  }

  /**
   * Takes over a machine, or the way it ended, from an earlier process, and finishes interrupted work in the
   * background.
   */
  async adopt(record: Readonly<ServerRecord>, left: ProcessIdentity | Ending): Promise<void> {
    if (typeof left === 'string') {
      this.#adoptDead(record, left);
      return;
    }
    const emulator = this.emulator ?? this.#watch(new Emulator(this.#place, left));
    await this.#state.note((next) => (next.process = emulator.identity));
    if (record.wanted === 'stopped') {
      this.#catchUp.begin();
      this.#inBackground('stop', (operation) => this.stop(operation));
      return;
    }
    let status: string | undefined;
    try {
      status = await emulator.status(timeoutMs);
    } catch (error) {
      if (emulator.isGone) return;
      this.#log.error({ err: error, pid: left.pid }, 'an adopted machine does not respond');
    }
    this.#log.info({ pid: left.pid, status }, 'machine adopted');
    const finish = status !== undefined && (status === 'prelaunch' || record.rebooting);
    if (!finish) {
      const trouble = troubleOf(status ?? 'unheard');
      await this.#state.note((next) => {
        if (status !== undefined) next.continued = true;
        setState(next, trouble === undefined ? 'Running' : 'Error', trouble);
      });
    }
    this.#catchUp.begin();
    if (status === 'prelaunch') this.#inBackground('start', (operation) => this.bringUp(operation));
    else if (finish) {
      const owed = { hard: false, ...(record.reboot === undefined ? {} : { request: record.reboot }) };
      this.#inBackground('reboot', (operation) => this.reboot(owed, operation));
    }
  }

  /** Releases the process, which keeps running. */
  async close(): Promise<void> {
    const reason = new RegionError('transient', 'The server process is ending.');
    this.#closing.abort(reason);
    await this.#operations.close(reason);
    this.#emulator?.release();
    this.#emulator = undefined;
  }

  #adoptDead(record: Readonly<ServerRecord>, ending: Ending): void {
    switch (record.powerState) {
      case 'Stopped':
      case 'Error':
      case 'Pending':
        return;
      case 'Queued':
        this.#inBackground('start', (operation) => this.bringUp(operation));
        return;
      case 'Building':
        // No response from QEMU means that it did not get to run the guest.
        if (ending !== 'crash') break;
        this.#inBackground('start', (operation) => this.bringUp(operation));
        return;
      case 'Running':
      case 'Stopping':
      case 'Rebuilding':
        break;
    }
    this.#inBackground('end', (operation) => this.#takeEnd(ending, operation));
  }

  /** A failed operation leaves the machine in its actual state, not in a transitional one. */
  async #act(operation: Operation, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await this.#takeStock(operation);
      throw error;
    }
  }

  /** `off`: its state without a process, if that is known. */
  async #takeStock(operation: Operation, off?: Fact): Promise<void> {
    const { record } = this.#state;
    // Work interrupted by the end of the process is finished by the next one.
    if (record === undefined || this.#closing.signal.aborted) return;
    const status = await this.emulator?.status(timeoutMs).catch(() => 'unheard');
    // It may have ended during the request.
    const run = this.emulator === undefined ? undefined : status;
    const fact = (run === undefined ? off : undefined) ?? remains(record, run, operation.signal.aborted);
    await this.#state.note((next) => {
      if (next.rebooting) delete next.reboot;
      next.rebooting = false;
      if (fact === undefined) return;
      const { powerState, message, ...rest } = fact;
      Object.assign(next, rest);
      setState(next, powerState, message);
    });
    this.#catchUp.begin();
  }

  async #boot(
    signal: AbortSignal,
    operation: Operation,
    wish?: (next: ServerRecord) => unknown,
  ): Promise<void> {
    operation.queued = true;
    try {
      await this.#state.commit((next) => {
        wish?.(next);
        setState(next, 'Queued');
      });
      await this.#host.starts.run({
        signal,
        begin: () => {
          operation.queued = false;
          return this.#launch();
        },
        booted: (from) => this.#booted(from),
      });
    } finally {
      operation.queued = false;
    }
  }

  /** Spawns the emulator if necessary, and lets the guest run. Resolves with the offset of its console output. */
  async #launch(): Promise<number> {
    const record = this.#state.mustHave();
    const image = await this.#host.catalog.image(record.imageId);
    if (image === undefined)
      throw new RegionError('terminal', 'The image that the server was created from no longer exists.');
    if (this.#find() === undefined) await growIfDue(this.#state, this.#host);
    await this.#state.commit((next) => setState(next, 'Building'));
    const from = await sizeOf(join(this.#state.folder, names.console));
    try {
      const emulator =
        this.emulator ?? (await this.#spawn(emulatorArguments(record, image.files, this.#host)));
      await emulator.continue();
      const status = await emulator.status();
      if (status !== 'running')
        throw new RegionError('transient', 'The machine is not running.', { cause: status });
    } catch (error) {
      this.#log.error(
        { err: error, qemu: await this.#emulator?.logTail() },
        'a machine could not be started',
      );
      if (this.#emulator !== undefined) await this.#cut(this.#emulator);
      throw error;
    }
    await this.#state.commit(setStarted);
    return from;
  }

  async #spawn(options: string[]): Promise<Emulator> {
    // An unrecorded process must not get a twin.
    const emulator =
      this.#find() ?? this.#watch(await Emulator.spawn(this.#place, this.#host.tools.qemu, options));
    await this.#state.commit((next) => (next.process = emulator.identity));
    return emulator;
  }

  async #booted(from: number): Promise<void> {
    const { emulator } = this;
    if (emulator === undefined) return;
    const options = { from, limit: this.#host.startSlot, signal: this.#closing.signal };
    const sign = await waitBooted(emulator, this.#state.folder, options).catch(() => 'closing');
    this.#log.debug({ sign }, 'slot in the start queue released');
  }

  async #powerDown(emulator: Emulator, signal: AbortSignal): Promise<void> {
    const deadline = Date.now() + this.#host.stopDeadline;
    try {
      const listens = (await emulator.status(timeoutMs).catch(() => 'unknown')) === 'running';
      while (listens && Date.now() < deadline) {
        await emulator.pressPower();
        const wait = Math.min(askAgain, Math.max(0, deadline - Date.now()));
        if (await settlesWithin(emulator.ended, wait, signal)) break;
      }
    } catch (error) {
      if (signal.aborted) throw error;
      if (!emulator.isGone) this.#log.warn({ err: error }, 'a machine cannot be asked to shut down');
    }
    await this.#cut(emulator);
  }

  async #cut(emulator: Emulator): Promise<void> {
    if (!emulator.isGone) await emulator.cut();
    if (this.#emulator === emulator) this.#emulator = undefined;
  }

  /** Handles an end that this process did not request. */
  #takeEnd(ending: Ending, operation: Operation): Promise<void> {
    return this.#act(operation, async () => {
      const record = this.#state.mustHave();
      const verdict = judge(record, ending, record.process?.bootId === hostBootId());
      this.#log.info({ ending, verdict }, 'machine ended');
      if (verdict.restart) return this.#boot(operation.overtaken, operation);
      await this.#state.note((next) => {
        if (verdict.powerState === 'Stopped') next.wanted = 'stopped';
        next.rebooting = false;
        setState(next, verdict.powerState, verdict.message);
      });
      this.#catchUp.begin();
    });
  }

  #watch(emulator: Emulator): Emulator {
    this.#emulator = emulator;
    void emulator.ended.then((ending) => {
      this.#inBackground('end', async (operation) => {
        // An operation that ended it on purpose has already released it.
        if (this.#emulator !== emulator) return;
        this.#emulator = undefined;
        if (ending === 'crash') this.#log.error({ qemu: await emulator.logTail() }, 'QEMU crashed');
        await this.#takeEnd(ending, operation);
      });
    });
    return emulator;
  }

  /** A run state reported by QEMU itself. Operations in progress set the state themselves. */
  #takeStatus(status: string): void {
    const trouble = troubleOf(status);
    if (trouble !== undefined) this.#state.show('Error', trouble);
    else if (status === 'running' && this.#state.record?.powerState === 'Error') this.#state.show('Running');
  }

  #inBackground(what: string, work: (operation: Operation) => Promise<void>): void {
    if (this.#closing.signal.aborted) return;
    this.#operations.run(undefined, work).catch((error: unknown) => {
      if (!this.#closing.signal.aborted)
        this.#log.warn({ err: error, what }, 'an operation on a machine did not finish');
    });
  }
}
