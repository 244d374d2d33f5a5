/** What is known of one server: its record, kept on disk, and the observation made of it. */
import type { PowerState } from '../../model/power.js';
import { RegionError, type ServerObservation } from '../provider.js';
import { readRecord, writeRecord, type ServerRecord } from './record.js';

/** Where the user-mode network's DHCP puts every guest: each has that network for itself. */
const guestAddress = '10.0.2.15';

export class ServerState {
  readonly id: string;
  readonly folder: string;
  readonly #changed: (observation: ServerObservation | undefined) => void;
  #record: ServerRecord | undefined;
  #fault: RegionError | undefined;

  /** `changed` is called at each change of the observation. */
  constructor(id: string, folder: string, changed: (observation: ServerObservation | undefined) => void) {
    this.id = id;
    this.folder = folder;
    this.#changed = changed;
  }

  get record(): ServerRecord | undefined {
    return this.#record;
  }

  /** Why it is not known what the server is, although there is one. What cannot be read is never taken for absent. */
  get fault(): RegionError | undefined {
    return this.#fault;
  }

  /** Undefined: there is no such server (yet, or any more). */
  get observation(): ServerObservation | undefined {
    if (this.#fault !== undefined) return { id: this.id, powerState: 'Error', message: this.#fault.message };
    if (this.#record === undefined) return undefined;
    const { powerState, mac, message } = this.#record;
    const observation: ServerObservation = {
      id: this.id,
      powerState,
      privateIP: guestAddress,
      macAddress: mac,
    };
    if (message !== undefined) observation.message = message;
    return observation;
  }

  /** Rejects with RegionError: the record cannot be read, or is damaged. What was known stays, until `know` or `fail`. */
  read(): Promise<ServerRecord | undefined> {
    return readRecord(this.folder, this.id);
  }

  /** What was read; undefined when there is no server (any more). */
  know(record: ServerRecord | undefined): void {
    if (record === undefined) this.forget();
    else this.#record = record;
    if (this.#fault === undefined) return;
    this.#fault = undefined;
    this.#changed(this.observation);
  }

  fail(fault: RegionError): void {
    const told = this.#fault?.message === fault.message;
    this.#fault = fault;
    if (!told) this.#changed(this.observation);
  }

  begin(record: ServerRecord): void {
    this.#record = record;
    this.#changed(this.observation);
  }

  forget(): void {
    const known = this.observation !== undefined;
    this.#record = undefined;
    this.#fault = undefined;
    if (known) this.#changed(undefined);
  }

  /** Throws RegionError: `not_found`, or the fault. */
  mustHave(): ServerRecord {
    if (this.#fault !== undefined) throw this.#fault;
    if (this.#record === undefined) throw absent();
    return this.#record;
  }

  mustObserve(): ServerObservation {
    this.mustHave();
    const { observation } = this;
    if (observation === undefined) throw absent();
    return observation;
  }

  /** Changes the state in memory only: for what can be seen again after a restart. */
  show(powerState: PowerState, message?: string): void {
    const record = this.#record;
    if (record === undefined || (record.powerState === powerState && record.message === message)) return;
    record.powerState = powerState;
    if (message === undefined) delete record.message;
    else record.message = message;
    this.#changed(this.observation);
  }

  /** Changes the state and writes the whole record down. */
  async settle(powerState: PowerState, message?: string): Promise<void> {
    this.show(powerState, message);
    await this.save();
  }

  async save(): Promise<void> {
    if (this.#record !== undefined) await writeRecord(this.folder, this.#record);
  }
}

export function absent(): RegionError {
  return new RegionError('not_found', 'The region has no such server.');
}
