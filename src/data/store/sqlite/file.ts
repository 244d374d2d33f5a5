/** Opens a database file: refuses newer or damaged files before anything is changed, then configures the connection. */
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
 * A file up to this size is read from the kernel's cache without a copy, which saves a quarter of the cost of a page of
 * 100. Mapped memory counts towards the process, so a large file is read normally.
 */
const mapped = 64 * 2 ** 20;

/** Size in bytes to which the write-ahead log is truncated after a checkpoint. */
const logLimit = 64 * 2 ** 20;

export interface Opened {
  db: Database.Database;
  /** Owners of marks to remove: they ended without closing the file, which has been checked because of that. */
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
    // Before the first table; later only a complete rewrite could enable it.
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

/** Whether the file has a document in any of these collections. Creates nothing. */
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
