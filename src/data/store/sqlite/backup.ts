/** Backup, restore and compaction of a SQLite file. */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import Database from 'better-sqlite3';
import { DamagedFile, faultsOf, isDamage } from './check.js';
import { type EventBase, eventBaseId, eventBases } from '../event-base.js';
import { startFailure } from './file.js';
import { assertKnown, tablesOf } from './layout.js';
import { Space } from './space.js';

/** Pages copied between two checks of the clock. */
const chunk = 1000;
/** Milliseconds before progress is first reported, and between two reports. */
const intervalMs = 2000;

/** Progress of a long step: its completed part, or, if that is unknown, only that it begins. */
export type Progress = (step: 'copying' | 'checking' | 'rewriting' | 'compacting', part?: number) => void;

/** Bytes from which checking or rewriting a file takes seconds. */
const big = 256 * 2 ** 20;

/** Reports the completed part from time to time, after the first two seconds. */
function patiently(progress: Progress, step: Parameters<Progress>[0]): (done: number, total: number) => void {
  let last = Date.now();
  return (done, total) => {
    if (Date.now() - last < intervalMs) return;
    last = Date.now();
    progress(step, done / Math.max(total, 1));
  };
}

/** Reports that a step begins, if it is going to take long. */
function announce(progress: Progress, step: Parameters<Progress>[0], file: string): void {
  if (statSync(file).size >= big) progress(step);
}

function assertThere(file: string): void {
  if (!existsSync(file)) throw new Error(`There is no database ${file}.`);
}

function assertAbsent(file: string): void {
  if (existsSync(file)) throw new Error(`${file} exists; choose another name, or remove it first.`);
}

/** The content must be on disk before the rename, and the name after it. */
function moveIntoPlace(from: string, to: string): void {
  sync(from);
  renameSync(from, to);
  sync(dirname(to));
}

function sync(path: string): void {
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function removeDatabase(file: string): void {
  for (const ending of ['', '-wal', '-shm', '-journal']) rmSync(file + ending, { force: true });
}

/**
 * Copies a snapshot of the file, while others may write to it, checks the whole copy, and only then gives it its final
 * name. Mode 0600.
 */
export async function backUp(file: string, target: string, progress: Progress): Promise<void> {
  assertThere(file);
  assertAbsent(target);
  const unfinished = `${resolve(target)}.unfinished-${process.pid}`;
  const db = connected(file, { fileMustExist: true });
  try {
    assertKnown(db, file);
    // Created before it has content, so that no one else can read it at any time.
    closeSync(openSync(unfinished, 'wx', 0o600));
    // From one snapshot: otherwise a write by another process would restart the copy, endlessly on a busy store.
    db.exec('BEGIN');
    db.prepare('SELECT count(*) FROM sqlite_master').get();
    const tell = patiently(progress, 'copying');
    await db.backup(unfinished, {
      progress: ({ totalPages, remainingPages }) => {
        tell(totalPages - remainingPages, totalPages);
        return chunk;
      },
    });
    db.exec('COMMIT');
    announce(progress, 'checking', unfinished);
    finish(unfinished);
    moveIntoPlace(unfinished, resolve(target));
  } catch (error) {
    throw isDamage(error) ? new DamagedFile(file, error.message, { cause: error }) : error;
  } finally {
    db.close();
    removeDatabase(unfinished);
  }
}

/** Turns the copy into an independent file that no process has open, and checks it. */
function finish(copy: string): void {
  const db = new Database(copy);
  try {
    db.pragma('journal_mode = DELETE');
    const faults = faultsOf(db, 'integrity_check');
    if (faults !== undefined) throw new DamagedFile(copy, faults);
    const marks = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'open_marks'").get();
    if (marks !== undefined) db.exec('DELETE FROM "open_marks"');
  } finally {
    db.close();
  }
  chmodSync(copy, 0o600);
}

/**
 * Replaces the file with a backup, once that has been checked. An existing file requires `force`, and is renamed;
 * returns its new name. Refuses while any process has the file open.
 */
export function restore(
  backup: string,
  file: string,
  force: boolean,
  progress: Progress,
): string | undefined {
  assertThere(backup);
  const there = existsSync(file);
  if (there && !force) {
    throw new Error(`The database ${file} already exists. With --force it is renamed, not deleted.`);
  }
  const unfinished = `${file}.unfinished-${process.pid}`;
  try {
    copyFileSync(backup, unfinished);
    chmodSync(unfinished, 0o600);
    announce(progress, 'checking', unfinished);
    examine(unfinished, backup);
    countEventsAnew(unfinished);
    if (there) settle(file);
    const kept = there ? keep(file) : undefined;
    // An orphaned log would be taken for that of the new database.
    for (const ending of ['-wal', '-shm', '-journal']) rmSync(file + ending, { force: true });
    moveIntoPlace(unfinished, file);
    return kept;
  } finally {
    removeDatabase(unfinished);
  }
}

/** Throws if the copy of the backup is not a Copse database, is damaged, or is newer. */
function examine(copy: string, backup: string): void {
  try {
    const db = new Database(copy, { fileMustExist: true });
    try {
      assertKnown(db, backup);
      const ours = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'secrets'").get();
      if (ours === undefined) throw new Error(`${backup} is a database, but not a Copse store.`);
    } finally {
      db.close();
    }
    finish(copy);
  } catch (error) {
    if (error instanceof DamagedFile || isDamage(error))
      throw new Error(`The backup ${backup} is damaged (${error.message}). Nothing was changed.`, {
        cause: error,
      });
    throw error;
  }
}

/**
 * Otherwise event ids that were issued after the backup would be issued again, for other events. Their number is
 * unknown if the file is lost; but in the long run there is less than one event per millisecond.
 */
function countEventsAnew(copy: string): void {
  const db = new Database(copy);
  try {
    const known = db.prepare("SELECT sql FROM sqlite_master WHERE name = 'sqlite_sequence'").get();
    const last =
      known === undefined
        ? 0
        : (db.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'change_log'").pluck(true).get() as
            number | undefined);
    db.exec(tablesOf(eventBases).join(';'));
    const before = db.prepare('SELECT "value" FROM "schema" WHERE "id" = ?').pluck(true).get(eventBaseId);
    const { base } = before === undefined ? { base: 0 } : (JSON.parse(before as string) as EventBase);
    const value = JSON.stringify({ base: Math.max(Date.now(), base + (last ?? 0) + 1) } satisfies EventBase);
    db.prepare(
      'INSERT INTO "schema" ("id", "revision", "value") VALUES (?, 1, ?) ' +
        'ON CONFLICT ("id") DO UPDATE SET "revision" = "revision" + 1, "value" = excluded."value"',
    ).run(eventBaseId, value);
  } finally {
    db.close();
  }
}

/**
 * Checkpoints the write-ahead log, so that the old file is complete under its new name. Leaving WAL mode needs
 * exclusive access, and so shows whether another process has the file open. For a damaged file the system is asked
 * instead.
 */
function settle(file: string): void {
  try {
    const db = new Database(file, { timeout: 0 });
    try {
      db.pragma('journal_mode = DELETE');
    } finally {
      db.close();
    }
  } catch (error) {
    if (error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY'))
      throw new InUse(file, { cause: error });
    if (!isDamage(error)) throw error;
    if (existsSync('/proc') && isHeld(file)) throw new InUse(file, { cause: error });
  }
}

class InUse extends Error {
  override readonly name = 'InUse';

  constructor(file: string, options?: ErrorOptions) {
    super(`A process has the database ${file} open. Stop every server that uses it first.`, options);
  }
}

/** Whether a visible process has the file open (proc(5)). */
function isHeld(file: string): boolean {
  const path = realpathSync(file);
  const linksIn = (folder: string) =>
    attemptOr([], () => readdirSync(folder)).map((name) =>
      attemptOr('', () => readlinkSync(join(folder, name))),
    );
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .some((pid) => linksIn(`/proc/${pid}/fd`).includes(path));
}

/** Processes come and go, and those of other users cannot be examined. */
function attemptOr<R>(otherwise: R, act: () => R): R {
  try {
    return act();
  } catch {
    return otherwise;
  }
}

/** Renames the old file, and a log that could not be checkpointed. */
function keep(file: string): string {
  const kept = `${file}.before-restore-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`;
  for (const ending of ['-wal', '-journal']) {
    if (existsSync(file + ending)) renameSync(file + ending, kept + ending);
  }
  renameSync(file, kept);
  return kept;
}

/**
 * Releases the empty pages of the file. With exclusive access it rewrites the file, which also defragments it; while a
 * server has the file open, it moves pages in small steps between the server's writes.
 */
export async function compact(file: string, progress: Progress): Promise<{ rewritten: boolean }> {
  assertThere(file);
  // Refuses files written by a newer version, before anything is changed.
  await withFile(file, (db) => assertKnown(db, file));
  const rewritten = alone(file);
  await withFile(file, async (db) => {
    if (rewritten) {
      announce(progress, 'rewriting', file);
      db.pragma('auto_vacuum = INCREMENTAL');
      db.exec('VACUUM');
    } else {
      await release(new Space(db), patiently(progress, 'compacting'));
      db.pragma('wal_checkpoint(PASSIVE)');
    }
  });
  return { rewritten };
}

async function withFile(file: string, work: (db: Database.Database) => Promise<void> | void): Promise<void> {
  const db = connected(file, { fileMustExist: true });
  try {
    await work(db);
  } catch (error) {
    throw startFailure(file, error);
  } finally {
    db.close();
  }
}

async function release(space: Space, tell: (done: number, total: number) => void): Promise<void> {
  const total = space.empty;
  for (let left = total; left > 0; left = space.empty) {
    space.release(chunk);
    tell(total - left, total);
    // A pause for the server's writes.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function alone(file: string): boolean {
  try {
    settle(file);
    return true;
  } catch (error) {
    if (error instanceof InUse) return false;
    throw error;
  }
}

function connected(file: string, options: Database.Options): Database.Database {
  try {
    return new Database(file, { timeout: 5000, ...options });
  } catch (error) {
    throw startFailure(file, error);
  }
}
