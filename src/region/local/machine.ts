/**
 * One server: its verbs. Each takes the machine's lock, so that one act at a time touches it; a stop overtakes a start
 * that waits for its place, a delete overtakes everything that waits.
 */
import { join } from 'node:path';
import type { Log } from '../../model/log.js';
import { type RebootOptions, RegionError, type ServerObservation, type ServerRequest } from '../provider.js';
import { readConsole } from './console-log.js';
import { keepHouse } from './housekeeping.js';
import { Mutex } from './mutex.js';
import { Operations } from './operations.js';
import { Power, type PowerHost } from './power.js';
import { findEmulator, isAlive } from './process-identity.js';
import { createServer, removeFolder } from './server-folder.js';
import { absent, ServerState } from './server-state.js';

export interface MachineHost extends PowerHost {
  /** Folder of all servers, a real path. */
  servers: string;
  consoleLimit: number;
  changed: (id: string, observation: ServerObservation | undefined) => void;
}

export class Machine {
  readonly id: string;
  readonly #host: MachineHost;
  readonly #log: Log;
  readonly #operations = new Operations();
  readonly #console = new Mutex();
  readonly #state: ServerState;
  readonly #power: Power;

  constructor(id: string, host: MachineHost) {
    this.id = id;
    this.#host = host;
    this.#log = host.log.child({ serverId: id });
    this.#state = new ServerState(id, join(host.servers, id), (observation) => {
      host.changed(id, observation);
    });
    this.#power = new Power(this.#state, this.#operations, host, this.#log);
  }

  /** Undefined: there is no such server (yet, or any more). */
  get observation(): ServerObservation | undefined {
    return this.#state.observation;
  }

  /** Whether an act runs or waits. */
  get isBusy(): boolean {
    return this.#operations.pending > 0;
  }

  ensure(request: ServerRequest, signal: AbortSignal): Promise<ServerObservation> {
    return this.#operations.run(signal, async (operation) => {
      if (this.observation === undefined) {
        this.#state.begin(await createServer(this.#state.folder, request, this.#host));
      }
      const record = this.#state.mustHave();
      // Once it has run it is the user's: whether it runs now is for start and stop.
      if (!record.continued && record.wanted === 'running') await this.#power.bringUp(operation);
      return this.#state.mustObserve();
    });
  }

  start(signal: AbortSignal): Promise<ServerObservation> {
    return this.#operations.run(signal, async (operation) => {
      await this.#power.bringUp(operation);
      return this.#state.mustObserve();
    });
  }

  stop(signal: AbortSignal): Promise<ServerObservation> {
    this.#operations.overtakeQueued(new RegionError('conflict', 'A stop overtook the start.'));
    return this.#operations.run(signal, async (operation) => {
      await this.#power.stop(operation);
      return this.#state.mustObserve();
    });
  }

  reboot(options: RebootOptions, signal: AbortSignal): Promise<ServerObservation> {
    return this.#operations.run(signal, async (operation) => {
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

  remove(signal: AbortSignal): Promise<void> {
    this.#operations.overtake(new RegionError('conflict', 'The server is being deleted.'));
    return this.#operations.run(signal, async () => {
      await this.#power.destroy();
      await removeFolder(this.#host.servers, this.id);
      this.#state.forget();
    });
  }

  /** Rejects with `not_found` if there is no server. */
  async readConsole(lines: number | undefined): Promise<string> {
    if (this.observation === undefined) throw absent();
    return this.#console.run(() => readConsole(this.#state.folder, this.#host.consoleLimit, lines));
  }

  async keepHouse(): Promise<void> {
    if (this.#state.record === undefined) return;
    await this.#console.run(() =>
      keepHouse(this.#state.folder, this.#power.emulator, this.#host.consoleLimit),
    );
  }

  /** Lets go. The machine runs on; an act that waits is given up and taken up by the next process. */
  async close(): Promise<void> {
    await this.#power.close();
  }

  /** Takes over what an earlier process left. False: there is no server in the folder. */
  async adopt(): Promise<boolean> {
    try {
      const record = await this.#state.load();
      if (record === undefined) return false;
      const known = record.process !== undefined && isAlive(record.process) ? record.process : undefined;
      // Between spawn and record only the host itself knows of the process.
      const building = record.powerState === 'Building';
      await this.#power.adopt(record, known ?? findEmulator(this.#state.folder, this.id, building));
    } catch (error) {
      this.#log.error({ err: error }, 'a server cannot be adopted');
    }
    return true;
  }
}
