/**
 * Decides the outcome of an operation: how long it takes, and whether it fails. Programmed rules first, then chance.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import { RegionError, type RegionErrorKind } from '../provider.js';

export type SimulatedVerb =
  | 'ensureServer'
  | 'deleteServer'
  | 'startServer'
  | 'stopServer'
  | 'rebootServer'
  | 'snapshotServer'
  | 'deleteImage'
  | 'resizeServer'
  | 'describeServers'
  | 'consoleOutput';

export interface SimulatedRule {
  verb: SimulatedVerb;
  /** Only for this server. A rule for all servers also applies to `describeServers`, which has no server of its own. */
  serverId?: string;
  /** Milliseconds, instead of the region's delay. */
  delay?: number;
  error?: RegionErrorKind;
  /** With `error`: the operation is carried out, and then reported as failed. */
  ambiguous?: boolean;
  /** Number of operations that the rule applies to. Absent: all, until `clearProgram`. */
  times?: number;
}

export interface Fate {
  /** Milliseconds. */
  delay: number;
  error?: RegionError;
  /** The error comes after the operation instead of replacing it. */
  ambiguous: boolean;
}

interface RuleRow {
  seq: number;
  delay: number | null;
  error: RegionErrorKind | null;
  ambiguous: number;
  remaining: number | null;
}

function statements(db: Database.Database) {
  return {
    add: db.prepare<[string, string | null, number | null, string | null, number, number | null]>(
      'INSERT INTO rule (verb, serverId, delay, error, ambiguous, remaining) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    clear: db.prepare<[]>('DELETE FROM rule'),
    find: db.prepare<[string, string | null], RuleRow>(
      `SELECT seq, delay, error, ambiguous, remaining FROM rule
       WHERE verb = ? AND (serverId IS NULL OR serverId = ?) ORDER BY seq LIMIT 1`,
    ),
    use: db.prepare<[number]>(
      'UPDATE rule SET remaining = remaining - 1 WHERE seq = ? AND remaining IS NOT NULL',
    ),
    drop: db.prepare<[number]>('DELETE FROM rule WHERE seq = ? AND remaining <= 0'),
    count: db
      .prepare<[string, string], number>(
        `INSERT INTO attempt (id, verb, calls) VALUES (?, ?, 1)
         ON CONFLICT (id, verb) DO UPDATE SET calls = calls + 1 RETURNING calls`,
      )
      .pluck(),
  };
}

export class Fates {
  readonly #db: Database.Database;
  readonly #sql: ReturnType<typeof statements>;
  readonly #delay: number;
  readonly #delayJitter: number;
  readonly #failureRate: number;
  readonly #seed: number;

  constructor(
    db: Database.Database,
    options: { delay: number; delayJitter?: number; failureRate: number; seed: number },
  ) {
    this.#db = db;
    this.#sql = statements(db);
    this.#delay = options.delay;
    this.#delayJitter = options.delayJitter ?? 0;
    this.#failureRate = options.failureRate;
    this.#seed = options.seed;
  }

  program(rule: SimulatedRule): void {
    this.#sql.add.run(
      rule.verb,
      rule.serverId ?? null,
      rule.delay ?? null,
      rule.error ?? null,
      rule.ambiguous === true ? 1 : 0,
      rule.times ?? null,
    );
  }

  clear(): void {
    this.#sql.clear.run();
  }

  /** The outcome of a mutation of one server: takes the delay, may fail at random. */
  ofMutation(verb: SimulatedVerb, instanceId: string): Fate {
    return this.#programmed(verb, instanceId, this.#delay) ?? this.#chance(verb, instanceId);
  }

  /** The outcome of a read: immediate and successful, unless programmed. */
  ofRead(verb: SimulatedVerb, instanceId: string | null): Fate {
    return this.#programmed(verb, instanceId, 0) ?? { delay: 0, ambiguous: false };
  }

  #programmed(verb: SimulatedVerb, instanceId: string | null, delay: number): Fate | undefined {
    // The common case is no rule at all; only a hit takes the write lock, and reads again under it.
    if (this.#sql.find.get(verb, instanceId) === undefined) return undefined;
    const take = this.#db.transaction(() => {
      const row = this.#sql.find.get(verb, instanceId);
      if (row === undefined) return undefined;
      this.#sql.use.run(row.seq);
      this.#sql.drop.run(row.seq);
      return row;
    });
    const rule = take.immediate();
    if (rule === undefined) return undefined;
    const fate: Fate = { delay: rule.delay ?? delay, ambiguous: rule.ambiguous === 1 };
    if (rule.error !== null)
      fate.error = new RegionError(rule.error, `The simulated region was programmed to fail (${verb}).`);
    return fate;
  }

  /** Derived from seed, verb, server and call number, so that the order of operations changes nothing. */
  #chance(verb: SimulatedVerb, instanceId: string): Fate {
    if (this.#failureRate <= 0 && this.#delayJitter <= 0) return { delay: this.#delay, ambiguous: false };
    const calls = this.#sql.count.get(instanceId, verb) ?? 1;
    const hash = createHash('sha256')
      .update(JSON.stringify([this.#seed, verb, instanceId, calls]))
      .digest();
    const swing = (2 * hash.readUInt32BE(8)) / 2 ** 32 - 1;
    const fate: Fate = {
      delay: Math.round(this.#delay * (1 + this.#delayJitter * swing)),
      ambiguous: false,
    };
    if (hash.readUInt32BE(0) / 2 ** 32 >= this.#failureRate) return fate;
    // A real cloud also loses responses: every fourth failure comes after the work was done.
    return {
      ...fate,
      error: new RegionError('transient', 'The simulated region failed at random.'),
      ambiguous: hash.readUInt8(4) % 4 === 0,
    };
  }
}

/** Rejects with the signal's reason. */
export async function pause(delay: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (delay <= 0) return;
  try {
    await sleep(delay, undefined, { signal });
  } catch (error) {
    // The port promises the signal's own reason, not the timer's AbortError.
    signal.throwIfAborted();
    throw error;
  }
}

/** Takes the time of a fate, and throws its error. */
export async function endure(fate: Fate, signal: AbortSignal): Promise<void> {
  await pause(fate.delay, signal);
  if (fate.error !== undefined) throw fate.error;
}
