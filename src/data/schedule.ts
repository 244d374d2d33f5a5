/**
 * Periodic work that is done once in the whole site, however many processes there are: each job has a document with a
 * lease. Jobs must be repeatable: a process that loses its lease may not know it yet.
 */
import { KeyedMutex } from '../platform/keyed-mutex.js';
import { isDeadOwner } from './owner.js';
import { LeaseWatch } from './lease.js';
import {
  type CollectionSpec,
  type Document,
  insert,
  replace,
  type Store,
  StoreConflict,
} from './store/port.js';

export interface ScheduleRecord {
  /** The process that runs the job; absent between two runs. */
  owner?: string;
  /** Counts the runs. */
  token: number;
  /** Counts the heartbeats of the run. */
  beat: number;
  /** Ms since 1970. */
  lastEnd?: number;
  nextStart: number;
}

export const schedules: CollectionSpec<ScheduleRecord> = {
  name: 'schedules',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

/** This process's run of a job. */
export interface Turn {
  /** Sends a heartbeat; false if the lease was taken over. */
  keep(): Promise<boolean>;
  /** Ends the run; the next is due after `pause` ms. */
  end(pause: number): Promise<void>;
}

export class ScheduleData {
  readonly #store: Store;
  readonly #owner: string;
  readonly #lease: number;
  readonly #leases = new LeaseWatch();

  /** `lease`: ms without a heartbeat after which another process may take over. */
  constructor(store: Store, owner: string, lease: number) {
    this.#store = store;
    this.#owner = owner;
    this.#lease = lease;
  }

  /** A run of a job with this interval in ms, or how long to wait before trying again. */
  async take(name: string, intervalMs: number): Promise<Turn | { wait: number }> {
    const found = await this.#store.get(schedules, name).catch((error: unknown) => {
      this.#leases.blind();
      throw error;
    });
    const now = Date.now();
    if (found !== undefined) {
      const { owner, token, beat, nextStart } = found.value;
      const silent = this.#leases.silent(name, `${token} ${beat}`, this.#lease, performance.now());
      if (owner !== undefined && !silent && !isDeadOwner(owner))
        return { wait: Math.min(intervalMs, this.#lease) };
      // A time more than one pause ahead was set by a wrong clock.
      if (owner === undefined && nextStart > now && nextStart <= now + intervalMs)
        return { wait: nextStart - now };
    }
    const value = { owner: this.#owner, token: (found?.value.token ?? 0) + 1, beat: 0, nextStart: now };
    const write = found === undefined ? insert(schedules, name, value) : replace(schedules, found, value);
    try {
      await this.#store.write([write]);
    } catch (error) {
      if (error instanceof StoreConflict) return { wait: Math.min(intervalMs, this.#lease) };
      throw error;
    }
    return this.#turn({ id: name, revision: (found?.revision ?? 0) + 1, value });
  }

  #turn(document: Document<ScheduleRecord>): Turn {
    let held = document;
    const writes = new KeyedMutex();
    const write = async (change: (value: ScheduleRecord) => ScheduleRecord): Promise<boolean> => {
      try {
        const value = change(held.value);
        await this.#store.write([replace(schedules, held, value)]);
        held = { ...held, revision: held.revision + 1, value };
        return true;
      } catch (error) {
        if (!(error instanceof StoreConflict)) throw error;
      }
      // Lost; or a heartbeat was stored although its write failed, and this process still has the lease.
      const found = await this.#store.get(schedules, held.id);
      if (found?.value.owner !== this.#owner || found.value.token !== held.value.token) return false;
      held = found;
      return write(change);
    };
    // One after the other: a write knows its revision only after the previous one, perhaps a slow heartbeat, is done.
    const inTurn = (change: (value: ScheduleRecord) => ScheduleRecord): Promise<boolean> =>
      writes.run(held.id, () => write(change));
    return {
      keep: () => inTurn((value) => ({ ...value, beat: value.beat + 1 })),
      end: async (pause) => {
        await inTurn(({ owner, ...rest }) => {
          const now = Date.now();
          return { ...rest, lastEnd: now, nextStart: now + pause };
        });
      },
    };
  }
}
