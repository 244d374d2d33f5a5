/** What is known of one server: its record, kept on disk, and the observation made of it. */
import type { PowerState } from '../../model/power.js';
import { RegionError, type ServerObservation } from '../provider.js';
import { readRecord, writeRecord, type ServerRecord } from './record.js';

/** Where the user-mode network's DHCP puts every guest: each has that network for itself. */
const guestAddress = '10.0.2.15';
const damage = 'What the host knows about the server is damaged; it can only be deleted.';

export class ServerState {
  readonly id: string;
  readonly folder: string;
  readonly #changed: (observation: ServerObservation | undefined) => void;
  #record: ServerRecord | undefined;
  #damaged = false;

  /** `changed` is called at each change of the observation. */
  constructor(id: string, folder: string, changed: (observation: ServerObservation | undefined) => void) {
    this.id = id;
    this.folder = folder;
    this.#changed = changed;
  }

  get record(): ServerRecord | undefined {
    return this.#record;
  }

  /** Undefined: there is no such server (yet, or any more). */
  get observation(): ServerObservation | undefined {
    if (this.#damaged) return { id: this.id, powerState: 'Error', message: damage };
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

  /** Rejects with the reason, and remembers, that the record is damaged. */
  async load(): Promise<ServerRecord | undefined> {
    try {
      this.#record = await readRecord(this.folder, this.id);
    } catch (error) {
      this.#damaged = true;
      throw error;
    }
    return this.#record;
  }

  begin(record: ServerRecord): void {
    this.#record = record;
    this.#changed(this.observation);
  }

  forget(): void {
    const known = this.observation !== undefined;
    this.#record = undefined;
    this.#damaged = false;
    if (known) this.#changed(undefined);
  }

  /** Throws RegionError: `not_found`, or `terminal` when the record is damaged. */
  mustHave(): ServerRecord {
    if (this.#damaged) throw new RegionError('terminal', damage);
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
