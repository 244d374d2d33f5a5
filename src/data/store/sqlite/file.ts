/** Opens a database file: refuses what is newer or damaged before anything is changed, then sets the connection up. */
import { chmodSync, existsSync, statSync } from 'node:fs';
import Database from 'better-sqlite3';
import type { Log } from '../../../model/log.js';
import type { CollectionSpec } from '../port.js';
import { assertWhole, DamagedFile, isDamage } from './check.js';
import { assertKnown } from './layout.js';
import { ownersLeft } from './marks.js';
import { quoted } from './tables.js';

/** Milliseconds that a writer waits for another process. */
const busyTimeout = 5000;

/**
 * A file up to this size is read from the kernel's cache without a copy: a quarter off the cost of a page of 100. What is
 * mapped counts as memory of the process, so that a big file is read in the ordinary way.
 */
const mapped = 64 * 2 ** 20;

/** Bytes that the write-ahead log is cut back to once it has been carried over. */
const logLimit = 64 * 2 ** 20;

export interface Opened {
  db: Database.Database;
  /** Owners of marks that are to go: they ended without closing the file, which has been checked for it. */
  left: string[];
}

export function open(file: string, log: Log, checkLimit: number): Opened {
  const fresh = file !== ':memory:' && !existsSync(file);
  const left = file === ':memory:' || fresh ? [] : attempt(file, () => ownersLeft(file));
  const db = attempt(file, () => new Database(file, { timeout: busyTimeout }));
  try {
    if (!db.memory && !fresh) {
      assertKnown(db, file);
      assertWhole(db, file, left.length > 0, checkLimit, (details, message) => {
        log.info(details, message);
      });
    }
    // Before the first table, or only a whole rewrite could turn it on.
    if (fresh) db.pragma('auto_vacuum = INCREMENTAL');
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma('foreign_keys = ON');
    if (fresh || db.memory || statSync(file).size <= mapped) db.pragma(`mmap_size = ${mapped}`);
    db.pragma(`journal_size_limit = ${logLimit}`);
    if (fresh) chmodSync(file, 0o600);
    return { db, left };
  } catch (error) {
    db.close();
    throw startFailure(file, error);
  }
}

function attempt<R>(file: string, work: () => R): R {
  try {
    return work();
  } catch (error) {
    throw startFailure(file, error);
  }
}

/** Whether the file has a document of any of these collections. Makes nothing in it. */
export function fileHoldsAny(file: string, collections: readonly CollectionSpec<never>[]): boolean {
  return attempt(file, () => {
    const db = new Database(file, { fileMustExist: true, timeout: busyTimeout });
    try {
      const tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").pluck(true).all();
      return collections.some(
        ({ name }) =>
          tables.includes(name) && db.prepare(`SELECT 1 FROM ${quoted(name)} LIMIT 1`).get() !== undefined,
      );
    } finally {
      db.close();
    }
  });
}

/** The failure of an open, with the file's name and what to do. */
export function startFailure(file: string, error: unknown): unknown {
  if (isDamage(error)) return new DamagedFile(file, error.message, { cause: error });
  if (!(error instanceof Database.SqliteError)) return error;
  const hint = error.code.startsWith('SQLITE_READONLY')
    ? 'This user needs write access to the file and its folder.'
    : 'See docs/operations.md.';
  return new Error(`The database ${file} cannot be opened: ${error.message} (${error.code}). ${hint}`, {
    cause: error,
  });
}
