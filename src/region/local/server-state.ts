/** What is known of one server: its record on disk, and the observation derived from it. */
import { isDeepStrictEqual } from 'node:util';
import type { PowerState } from '../../model/power.js';
import { RegionError, type ServerObservation } from '../provider.js';
import { reasonOf } from './file-fault.js';
import { readRecord, writeRecord, type ServerRecord } from './record.js';

/** The address that the user-mode network's DHCP gives every guest: each has that network to itself. */
const guestAddress = '10.0.2.15';

export class ServerState {
  readonly id: string;
  readonly folder: string;
  readonly #changed: (observation: ServerObservation | undefined) => void;
  /**
   * Never changed in place: what is visible is always a complete state that was written, or that a restart would find.
   */
  #record: ServerRecord | undefined;
  #fault: RegionError | undefined;
  #behind = false;

  /** `changed` is called at each change of the observation. */
  constructor(id: string, folder: string, changed: (observation: ServerObservation | undefined) => void) {
    this.id = id;
    this.folder = folder;
    this.#changed = changed;
  }

  get record(): Readonly<ServerRecord> | undefined {
    return this.#record;
  }

  /** Why the state of the server is unknown, although it exists. An unreadable server never counts as absent. */
  get fault(): RegionError | undefined {
    return this.#fault;
  }

  /** Undefined: there is no such server (yet, or any longer). */
  get observation(): ServerObservation | undefined {
    if (this.#fault !== undefined) return { id: this.id, powerState: 'Error', message: this.#fault.message };
    if (this.#record === undefined) return undefined;
    const { powerState, mac, boots, message } = this.#record;
    const observation: ServerObservation = {
      id: this.id,
      powerState,
      privateIP: guestAddress,
      macAddress: mac,
    };
    if (boots !== undefined) observation.boots = boots;
    if (message !== undefined) observation.message = message;
    return observation;
  }

  /**
   * Rejects with RegionError if the record cannot be read, or is damaged. The known state stays, until `know` or
   * `fail`.
   */
  read(): Promise<ServerRecord | undefined> {
    return readRecord(this.folder, this.id);
  }

  /** The record that was read; undefined if there is no server (any longer). */
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
    this.#behind = false;
    if (known) this.#changed(undefined);
  }

  /** Throws RegionError: `not_found`, or the fault. */
  mustHave(): Readonly<ServerRecord> {
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

  /** Changes the state in memory only: for facts that can be observed again after a restart. */
  show(powerState: PowerState, message?: string): void {
    const record = this.#record;
    if (record === undefined || (record.powerState === powerState && record.message === message)) return;
    this.#take(altered(record, (next) => setState(next, powerState, message)));
  }

  /**
   * For intentions: writes the changed record, and only then makes it visible. If that fails, nothing has changed, and
   * it rejects with a transient RegionError.
   */
  async commit(change: (next: ServerRecord) => void): Promise<void> {
    const base = this.mustHave();
    const next = altered(base, change);
    await this.#write(next);
    const meanwhile = this.#record;
    if (meanwhile === undefined) return;
    // A change made visible while the file was being written is newer than this one.
    const { powerState, message } = meanwhile;
    this.#take(meanwhile === base ? next : altered(next, (it) => setState(it, powerState, message)));
  }

  /**
   * For facts: makes them visible at once, since a restart would find the same, and writes them. If that fails, the
   * state is `behind` until `catchUp` succeeds.
   */
  async note(change: (next: ServerRecord) => void): Promise<void> {
    if (this.#record === undefined) return;
    const next = altered(this.#record, change);
    if (isDeepStrictEqual(next, this.#record) && !this.#behind) return;
    this.#take(next);
    await this.#write(next).catch(() => undefined);
  }

  /** Whether the file may differ from what is known here. */
  get isBehind(): boolean {
    return this.#behind;
  }

  /** Tries again to write what could not be written. Never rejects. */
  async catchUp(): Promise<void> {
    if (this.#behind && this.#record !== undefined) await this.#write(this.#record).catch(() => undefined);
  }

  async #write(record: ServerRecord): Promise<void> {
    try {
      await writeRecord(this.folder, record);
      this.#behind = false;
    } catch (cause) {
      // A write that failed late may have left the new text in the file.
      this.#behind = true;
      const why = reasonOf(cause);
      const message = `The host cannot store the new state of the server${why === undefined ? '' : `: ${why}`}.`;
      throw new RegionError('transient', message, { cause });
    }
  }

  #take(record: ServerRecord): void {
    const before = this.#record;
    this.#record = record;
    if (before?.powerState !== record.powerState || before.message !== record.message)
      this.#changed(this.observation);
  }
}

export function setState(record: ServerRecord, powerState: PowerState, message?: string): void {
  record.powerState = powerState;
  if (message === undefined) delete record.message;
  else record.message = message;
}

/** The guest has been started. */
export function setStarted(record: ServerRecord): void {
  record.continued = true;
  record.rebooting = false;
  record.boots = (record.boots ?? 0) + 1;
  setState(record, 'Running');
}

function altered(record: ServerRecord, change: (next: ServerRecord) => void): ServerRecord {
  const next = { ...record };
  change(next);
  return next;
}

export function absent(): RegionError {
  return new RegionError('not_found', 'The region has no such server.');
}
