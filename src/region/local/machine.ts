/**
 * One server: its verbs. Each takes the machine's lock, so only one operation at a time touches it; a stop overtakes a
 * start that waits for its slot, a delete overtakes everything that waits.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../../model/log.js';
import { KeyedMutex } from '../../platform/keyed-mutex.js';
import { orAbort } from '../../platform/time.js';
import type { ConsoleOutput, ConsolePart } from '../../model/console.js';
import {
  type RebootOptions,
  RegionError,
  type ResizeRequest,
  type ServerObservation,
  type ServerRequest,
  type SnapshotRequest,
  type MadeImage,
} from '../provider.js';
import { endBackup } from './backup.js';
import { readConsole, readConsoleFrom } from './console-log.js';
import { readable } from './file-fault.js';
import { keepHouse } from './housekeeping.js';
import { type Operation, Operations } from './operations.js';
import { Power, type PowerHost } from './power.js';
import { readEnding, type Ending } from './journal.js';
import { findEmulator, type ProcessIdentity } from './process-identity.js';
import { damaged, type ServerRecord } from './record.js';
import { createServer, growIfDue, removeFolder, resized } from './server-folder.js';
import { absent, ServerState } from './server-state.js';
import { takeSnapshot } from './snapshot.js';

export interface MachineHost extends PowerHost {
  /** Folder of all servers, a real path. */
  servers: string;
  consoleLimit: number;
  changed: (id: string, observation: ServerObservation | undefined) => void;
}

/** What an earlier process left: the record, and the machine or the way it ended. */
interface Leftover {
  record: ServerRecord;
  machine: ProcessIdentity | Ending;
}

export class Machine {
  readonly id: string;
  readonly #host: MachineHost;
  readonly #log: Log;
  readonly #operations = new Operations();
  readonly #mutex = new KeyedMutex();
  readonly #state: ServerState;
  readonly #power: Power;

  constructor(id: string, host: MachineHost) {
    this.id = id;
    this.#host = host;
    this.#log = host.log.child({ instanceId: id });
    this.#state = new ServerState(id, join(host.servers, id), (observation) => {
      host.changed(id, observation);
    });
    this.#power = new Power(this.#state, this.#operations, host, this.#log);
  }

  /** Undefined: there is no such server (yet, or any longer). */
  get observation(): ServerObservation | undefined {
    return this.#state.observation;
  }

  /** There is a server, but its state could not be read. */
  get isUnknown(): boolean {
    return this.#state.fault !== undefined;
  }

  /** Whether an operation is running or waiting. */
  get isBusy(): boolean {
    return this.#operations.pending > 0;
  }

  ensure(request: ServerRequest, signal: AbortSignal): Promise<ServerObservation> {
    return this.#act(signal, async (operation) => {
      // It may exist nevertheless: it could not be seen when the region opened.
      if (this.observation === undefined) await this.#takeOver();
      if (this.observation === undefined) {
        this.#state.begin(await createServer(this.#state.folder, request, this.#host));
      }
      const record = this.#state.mustHave();
      // Once it has run, only start and stop decide whether it runs.
      if (!record.continued && record.wanted === 'running') {
        if (request.power === 'stopped') await this.#power.stop(operation);
        else await this.#power.bringUp(operation);
      }
      return this.#state.mustObserve();
    });
  }

  start(signal: AbortSignal): Promise<ServerObservation> {
    return this.#act(signal, async (operation) => {
      await this.#power.bringUp(operation);
      return this.#state.mustObserve();
    });
  }

  stop(signal: AbortSignal): Promise<ServerObservation> {
    this.#operations.overtakeQueued(new RegionError('conflict', 'A stop superseded it.'));
    return this.#act(signal, async (operation) => {
      await this.#power.stop(operation);
      return this.#state.mustObserve();
    });
  }

  reboot(options: RebootOptions, signal: AbortSignal): Promise<ServerObservation> {
    return this.#act(signal, async (operation) => {
      const { powerState, rebooting, reboot } = this.#state.mustHave();
      const repeated = options.request !== undefined && options.request === reboot;
      if (repeated && powerState === 'Running' && !rebooting) return this.#state.mustObserve();
      if (powerState !== 'Running' && powerState !== 'Error') {
        throw new RegionError('conflict', 'The server is not running, so it cannot be rebooted.');
      }
      await this.#power.reboot(options, operation);
      return this.#state.mustObserve();
    });
  }

  /** The image that the server was created from and needs; undefined if there is no server. */
  get imageId(): string | undefined {
    return this.#state.record?.imageId;
  }

  snapshot(request: SnapshotRequest, signal: AbortSignal): Promise<MadeImage> {
    return this.#act(signal, (operation) => {
      const { emulator } = this.#power;
      const source = { folder: this.#state.folder, record: this.#state.mustHave(), emulator };
      return takeSnapshot(source, request, this.#host, operation.signal);
    });
  }

  /** Ends the copy for a snapshot that an earlier process has begun. Never rejects: the next snapshot tries again. */
  async endSnapshot(): Promise<void> {
    await this.#operations
      .run(undefined, async () => {
        const { emulator } = this.#power;
        if (emulator !== undefined) await endBackup(emulator);
      })
      .catch((error: unknown) => {
        this.#log.warn({ err: error }, 'the copy for an earlier snapshot may still be running');
      });
  }

  resize(request: ResizeRequest, signal: AbortSignal): Promise<ServerObservation> {
    return this.#act(signal, async () => {
      const shape = await resized(this.#state.mustHave(), request, this.#host);
      await this.#state.commit((next) => Object.assign(next, shape));
      // At once, so that a lack of space is told to who asked for more.
      if (this.#power.emulator === undefined) await growIfDue(this.#state, this.#host);
      return this.#state.mustObserve();
    });
  }

  remove(signal: AbortSignal): Promise<void> {
    this.#operations.overtake(new RegionError('conflict', 'The server is being deleted.'));
    return this.#operations.run(signal, async (operation) => {
      try {
        await this.#power.destroy();
        await removeFolder(this.#host.servers, this.id, () => this.#state.forget());
      } catch (error) {
        await this.#power.stay(operation);
        throw error;
      }
    });
  }

  /** Rejects with `not_found` if there is no server. */
  async readConsole({ lines, start }: ConsolePart): Promise<ConsoleOutput> {
    if (this.observation === undefined) throw absent();
    const { folder } = this.#state;
    return this.#mutex.run('console', () =>
      start === undefined
        ? readConsole(folder, this.#host.consoleLimit, lines)
        : readConsoleFrom(folder, start, lines),
    );
  }

  async keepHouse(): Promise<void> {
    await this.recall();
    if (this.#state.record === undefined) return;
    await this.#mutex.run('console', () =>
      keepHouse(this.#state.folder, this.#power.emulator, this.#host.consoleLimit),
    );
  }

  /** Releases the machine, which keeps running; a waiting operation is given up and resumed by the next process. */
  async close(): Promise<void> {
    await this.#power.close();
  }

  /**
   * Takes over what an earlier process left. `among`: processes with this server's name. If something cannot be read,
   * the server is in error, and it is read again later. False: there is no server in the folder.
   */
  async adopt(among: readonly number[]): Promise<boolean> {
    await this.#takeOver(among);
    return this.observation !== undefined;
  }

  /** Reads again what could not be read, unless an operation is in progress. */
  async recall(): Promise<void> {
    if (!this.isUnknown || this.isBusy) return;
    await this.#operations.run(undefined, () => this.#takeOver());
  }

  /**
   * Runs an operation in its turn. What could not be read is read again first, so that unfinished work comes before it.
   */
  async #act<R>(signal: AbortSignal, work: (operation: Operation) => Promise<R>): Promise<R> {
    if (this.isUnknown) await orAbort(this.recall(), signal);
    return this.#operations.run(signal, work);
  }

  async #takeOver(among?: readonly number[]): Promise<void> {
    let left: Leftover | undefined;
    try {
      left = await this.#readLeftover(among);
    } catch (error) {
      if (!(error instanceof RegionError)) throw error;
      if (this.#state.fault?.message !== error.message)
        this.#log.error({ err: error }, 'the state of a server is unknown');
      this.#state.fail(error);
      return;
    }
    this.#state.know(left?.record);
    try {
      if (left !== undefined) await this.#power.adopt(left.record, left.machine);
    } catch (error) {
      this.#log.error({ err: error }, 'a server cannot be adopted');
    }
  }

  /**
   * Undefined: there is no server. Rejects with RegionError if something cannot be read or determined, or is damaged.
   */
  async #readLeftover(among?: readonly number[]): Promise<Leftover | undefined> {
    const { folder } = this.#state;
    const record = await this.#state.read();
    if (record === undefined && !existsSync(folder)) return undefined;
    // Regardless of the record: between spawn and record only the host knows of the process.
    const emulator = findEmulator({ id: this.id, folder }, among);
    if (record === undefined) {
      if (emulator !== undefined) throw damaged('a machine runs without a record');
      return undefined;
    }
    return { record, machine: emulator ?? (await readable('The journal of the server', readEnding(folder))) };
  }
}
