/** The simulated cloud: machines as rows in a SQLite file that outlives the process and may be shared by several. */
import { randomUUID } from 'node:crypto';
import Database from 'better-sqlite3';
import type { PowerState } from '../../model/power.js';
import { RegionError, type ServerObservation, type ServerRequest } from '../provider.js';
import { stableMac } from '../stable-id.js';
import { schema } from './schema.js';

export interface CloudServer {
  /** Counts from 1 in order of creation; never reused. */
  number: number;
  /** Number of its address: that of the first server with its id. */
  address: number;
  id: string;
  hostname: string;
  flavorId: string;
  imageId: string;
  powerState: PowerState;
  /** The next power state of a machine in transition, and when (ms since the epoch) it is reached. */
  nextState: PowerState | null;
  settleAt: number | null;
  /** Number of times that it was powered on or reset. */
  boots: number;
  message: string | null;
}

export interface HistoryEntry {
  verb: string;
  /** RFC 3339. */
  time: string;
  /** False if there was nothing to do. */
  changed: boolean;
}

const columns =
  'number, coalesce((SELECT a.number FROM address a WHERE a.id = server.id), number) AS address, id, hostname, flavorId, imageId, powerState, nextState, settleAt, boots, message';

function statements(db: Database.Database) {
  return {
    get: db.prepare<[string], CloudServer>(`SELECT ${columns} FROM server WHERE id = ?`),
    all: db.prepare<[], CloudServer>(`SELECT ${columns} FROM server ORDER BY id`),
    count: db.prepare<[], number>('SELECT count(*) FROM server').pluck(),
    insert: db.prepare<[string, string, string, string, string, number, string, string, number, number]>(
      `INSERT INTO server (id, hostname, flavorId, imageId, tags, userDataBytes, powerState, nextState, settleAt, boots)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
    ),
    noteAddress: db.prepare<[string]>(
      'INSERT OR IGNORE INTO address (id, number) SELECT id, number FROM server WHERE id = ?',
    ),
    remove: db.prepare<[string]>('DELETE FROM server WHERE id = ?'),
    removeThis: db.prepare<[string, number]>('DELETE FROM server WHERE id = ? AND number = ?'),
    move: db.prepare<[string, string, number, number, string]>(
      `UPDATE server SET powerState = ?, nextState = ?, settleAt = ?, boots = boots + ?, message = NULL WHERE id = ?`,
    ),
    resize: db.prepare<[string, string, string]>(
      'UPDATE server SET flavorId = ? WHERE id = ? AND flavorId <> ?',
    ),
    rebooted: db.prepare<[string], string>('SELECT request FROM reboot WHERE id = ?').pluck(),
    noteReboot: db.prepare<[string, string]>(
      'INSERT INTO reboot (id, request) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET request = excluded.request',
    ),
    forgetReboot: db.prepare<[string]>('DELETE FROM reboot WHERE id = ?'),
    force: db.prepare<[string, string | null, string]>(
      'UPDATE server SET powerState = ?, nextState = NULL, settleAt = NULL, message = ? WHERE id = ?',
    ),
    due: db.prepare<[number], number>('SELECT 1 FROM server WHERE settleAt <= ? LIMIT 1').pluck(),
    settle: db.prepare<[number]>(
      'UPDATE server SET powerState = nextState, nextState = NULL, settleAt = NULL WHERE settleAt <= ?',
    ),
    note: db.prepare<[string, string, string, number]>(
      'INSERT INTO history (id, verb, time, changed) VALUES (?, ?, ?, ?)',
    ),
    history: db.prepare<[string], { verb: string; time: string; changed: number }>(
      'SELECT verb, time, changed FROM history WHERE id = ? ORDER BY seq',
    ),
    changesAfter: db.prepare<[number], { seq: number; id: string }>(
      'SELECT max(seq) AS seq, id FROM change WHERE seq > ? GROUP BY id ORDER BY 1',
    ),
    nameIt: db.prepare<[string]>('INSERT OR IGNORE INTO identity (one, id) VALUES (1, ?)'),
    identity: db.prepare<[], string>('SELECT id FROM identity').pluck(),
    now: db.prepare<[], number>("SELECT unixepoch('subsec') * 1000").pluck(),
    lastChange: db.prepare<[], number>('SELECT coalesce(max(seq), 0) FROM change').pluck(),
  };
}

export class Cloud {
  readonly #db: Database.Database;
  readonly #sql: ReturnType<typeof statements>;

  constructor(file: string) {
    this.#db = new Database(file);
    this.#db.pragma('busy_timeout = 10000');
    this.#db.pragma('journal_mode = WAL');
    this.#db.pragma('synchronous = NORMAL');
    this.#db.exec(schema);
    this.#sql = statements(this.#db);
    if (this.#sql.identity.get() === undefined) this.#nameIt();
  }

  /** For the rules, which are in the same file. */
  get database(): Database.Database {
    return this.#db;
  }

  /** On disk before the store records it: otherwise a power loss could leave a cloud that looks like another one. */
  #nameIt(): void {
    this.#db.pragma('synchronous = FULL');
    this.#sql.nameIt.run(randomUUID());
    this.#db.pragma('synchronous = NORMAL');
  }

  /** The same for every process that shares the file. */
  get identity(): string {
    return this.#sql.identity.get() ?? '';
  }

  close(): void {
    this.#db.close();
  }

  get(id: string): CloudServer | undefined {
    this.settle();
    return this.#sql.get.get(id);
  }

  all(): CloudServer[] {
    this.settle();
    return this.#sql.all.all();
  }

  count(): number {
    return this.#sql.count.get() ?? 0;
  }

  /** False: it already existed, and is unchanged. */
  create(request: ServerRequest, settleAt: number): boolean {
    return this.#write(() => {
      const { id, hostname, flavorId, imageId, tags, userData, power } = request;
      const bytes = userData?.length ?? 0;
      const made = this.#sql.insert.run(
        id,
        hostname,
        flavorId,
        imageId,
        JSON.stringify(tags),
        bytes,
        'Building',
        power === 'stopped' ? 'Stopped' : 'Running',
        settleAt,
        power === 'stopped' ? 0 : 1,
      );
      this.#sql.noteAddress.run(id);
      this.note(id, 'ensureServer', made.changes === 1);
      return made.changes === 1;
    });
  }

  /** Removes this exact machine, by its number: not one created since under the same id. */
  remove(id: string, number: number | undefined): void {
    this.#write(() => {
      const gone = this.#sql.removeThis.run(id, number ?? 0);
      if (gone.changes === 1) this.#sql.forgetReboot.run(id);
      this.note(id, 'deleteServer', gone.changes === 1);
    });
  }

  /**
   * Sends the machine to another state. `decide` gets its current state and returns whether to do so; it runs inside
   * the transaction, so no other process changes the machine in between. If it throws, the step is undone.
   */
  move(id: string, step: PowerStep, decide: (server: CloudServer | undefined) => boolean): void {
    this.#write(() => {
      const repeated = step.request !== undefined && this.#sql.rebooted.get(id) === step.request;
      const go = !repeated && decide(this.#sql.get.get(id));
      if (go && step.request !== undefined) this.#sql.noteReboot.run(id, step.request);
      if (go) this.#sql.move.run(step.through, step.to, step.settleAt, step.to === 'Running' ? 1 : 0, id);
      this.note(id, step.verb, go);
    });
  }

  /** Gives the machine another flavor. If `check` throws, it keeps its own. */
  resize(id: string, flavorId: string, check: (server: CloudServer | undefined) => void): void {
    this.#write(() => {
      check(this.#sql.get.get(id));
      const { changes } = this.#sql.resize.run(flavorId, id, flavorId);
      this.note(id, 'resizeServer', changes === 1);
    });
  }

  /** Changes a machine from outside, as an outage would. */
  force(id: string, powerState: PowerState, message: string | null): void {
    this.#sql.force.run(powerState, message, id);
  }

  vanish(id: string): void {
    this.#sql.remove.run(id);
  }

  /** Completes transitions that are due. Reads first: usually there are none, and a write takes the lock. */
  settle(): void {
    const now = this.now();
    if (this.#sql.due.get(now) !== undefined) this.#sql.settle.run(now);
  }

  /** Milliseconds since 1970 by the cloud's own clock: the clocks of processes that share it may differ. */
  now(): number {
    return this.#sql.now.get() ?? 0;
  }

  history(id: string): HistoryEntry[] {
    return this.#sql.history.all(id).map((row) => ({ ...row, changed: row.changed === 1 }));
  }

  lastChange(): number {
    return this.#sql.lastChange.get() ?? 0;
  }

  /** Each id that changed after `seq`, once, with the position of its last change. */
  changesAfter(seq: number): { seq: number; id: string }[] {
    return this.#sql.changesAfter.all(seq);
  }

  /** Records a mutation of a server for `history`. */
  note(id: string, verb: string, changed: boolean): void {
    this.#sql.note.run(id, verb, new Date().toISOString(), changed ? 1 : 0);
  }

  #write<T>(work: () => T): T {
    const transaction = this.#db.transaction(() => {
      this.settle();
      return work();
    });
    try {
      return transaction.immediate();
    } catch (error) {
      throw fileFault(error);
    }
  }
}

/** A failure of the file is retryable; any other error is unchanged. */
export function fileFault(error: unknown): unknown {
  if (!(error instanceof Database.SqliteError)) return error;
  return new RegionError('transient', 'The simulated region could not use its file.', { cause: error });
}

export interface PowerStep {
  verb: string;
  /** Shown until `settleAt` (ms since the epoch), then `to`. */
  through: PowerState;
  to: PowerState;
  settleAt: number;
  /** For a reboot: a repeat of one that was carried out changes nothing. */
  request?: string;
}

/** Converts the error of the work into one of the region's. */
export async function typed<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileFault(error);
  }
}

/** What the region tells of the machine. */
export function observe(server: CloudServer): ServerObservation {
  const { address } = server;
  const observation: ServerObservation = {
    id: server.id,
    powerState: server.powerState,
    privateIP: `10.${(address >> 16) & 255}.${(address >> 8) & 255}.${address & 255}`,
    macAddress: stableMac(server.id),
  };
  if (server.message !== null) observation.message = server.message;
  // Made without being started, it has none that could be under way.
  observation.boots = server.powerState === 'Building' ? Math.max(0, server.boots - 1) : server.boots;
  return observation;
}
