/**
 * Work that is done now and then in the whole site, once, however many processes there are: the turn at each job is a
 * document with a lease. Jobs must bear a repeat: a process that loses its turn may not know yet.
 */
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
  /** The process whose turn it is; absent between two turns. */
  owner?: string;
  /** Counts the turns. */
  token: number;
  /** Counts the signs of life within the turn. */
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

/** This process's turn at a job. */
export interface Turn {
  /** Shows that the process lives; false when the turn was taken away. */
  keep(): Promise<boolean>;
  /** Ends the turn; the next is due after `pause` ms. */
  end(pause: number): Promise<void>;
}

export class ScheduleData {
  readonly #store: Store;
  readonly #owner: string;
  readonly #lease: number;
  readonly #leases = new LeaseWatch();

  /** `lease`: ms without a sign of life after which a turn goes to another process. */
  constructor(store: Store, owner: string, lease: number) {
    this.#store = store;
    this.#owner = owner;
    this.#lease = lease;
  }

  /** The turn at a job that comes every so many ms, or how long to wait before asking again. */
  async take(name: string, every: number): Promise<Turn | { wait: number }> {
    const found = await this.#store.get(schedules, name).catch((error: unknown) => {
      this.#leases.blind();
      throw error;
    });
    const now = Date.now();
    if (found !== undefined) {
      const { owner, token, beat, nextStart } = found.value;
      const silent = this.#leases.silent(name, `${token} ${beat}`, this.#lease, performance.now());
      if (owner !== undefined && !silent && !isDeadOwner(owner))
        return { wait: Math.min(every, this.#lease) };
      // A time further ahead than one pause was set by a clock that goes wrong.
      if (owner === undefined && nextStart > now && nextStart <= now + every)
        return { wait: nextStart - now };
    }
    const value = { owner: this.#owner, token: (found?.value.token ?? 0) + 1, beat: 0, nextStart: now };
    const write = found === undefined ? insert(schedules, name, value) : replace(schedules, found, value);
    try {
      await this.#store.write([write]);
    } catch (error) {
      if (error instanceof StoreConflict) return { wait: Math.min(every, this.#lease) };
      throw error;
    }
    return this.#turn({ id: name, revision: (found?.revision ?? 0) + 1, value });
  }

  #turn(document: Document<ScheduleRecord>): Turn {
    let held = document;
    let last: Promise<unknown> = Promise.resolve();
    const write = async (change: (value: ScheduleRecord) => ScheduleRecord): Promise<boolean> => {
      try {
        const value = change(held.value);
        await this.#store.write([replace(schedules, held, value)]);
        held = { ...held, revision: held.revision + 1, value };
        return true;
      } catch (error) {
        if (!(error instanceof StoreConflict)) throw error;
      }
      // Taken away; or a sign of life was stored though its write failed, and the turn is this one still.
      const found = await this.#store.get(schedules, held.id);
      if (found?.value.owner !== this.#owner || found.value.token !== held.value.token) return false;
      held = found;
      return write(change);
    };
    // One after the other: a write knows its revision only when the one before, perhaps a slow sign of life, is done.
    const inTurn = (change: (value: ScheduleRecord) => ScheduleRecord): Promise<boolean> => {
      const written = last.then(() => write(change));
      last = written.catch(() => undefined);
      return written;
    };
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
