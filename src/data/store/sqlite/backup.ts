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

/** Pages copied between two looks at the clock. */
const chunk = 1000;
/** Milliseconds that work goes on before progress is told, and between two tellings. */
const patience = 2000;

/** What a step of more than a moment is doing: how far it has come, or, of a step that cannot tell, only that it begins. */
export type Progress = (step: 'copying' | 'checking' | 'rewriting' | 'compacting', part?: number) => void;

/** Bytes from which checking or rewriting a file takes seconds. */
const big = 256 * 2 ** 20;

/** Tells the part that is done, now and then, from two seconds on. */
function patiently(progress: Progress, step: Parameters<Progress>[0]): (done: number, total: number) => void {
  let last = Date.now();
  return (done, total) => {
    if (Date.now() - last < patience) return;
    last = Date.now();
    progress(step, done / Math.max(total, 1));
  };
}

/** Tells that a step begins, if it is going to take time. */
function announce(progress: Progress, step: Parameters<Progress>[0], file: string): void {
  if (statSync(file).size >= big) progress(step);
}

function assertThere(file: string): void {
  if (!existsSync(file)) throw new Error(`There is no database ${file}.`);
}

function assertAbsent(file: string): void {
  if (existsSync(file)) throw new Error(`${file} exists; choose another name, or remove it first.`);
}

/** What is renamed must be on the disk before, and the name after. */
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
 * Copies the file as it is at this moment, while others may write it, checks the whole copy, and only then gives it its
 * name. Mode 0600.
 */
export async function backUp(file: string, target: string, progress: Progress): Promise<void> {
  assertThere(file);
  assertAbsent(target);
  const unfinished = `${resolve(target)}.unfinished-${process.pid}`;
  const db = connected(file, { fileMustExist: true });
  try {
    assertKnown(db, file);
    // Made before anything is in it, so that nobody else can read it at any time.
    closeSync(openSync(unfinished, 'wx', 0o600));
    // On one snapshot: else a write by another process would have the copy begin anew, for ever on a busy store.
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

/** Makes a copy a file of its own that nobody has open, and checks it. */
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
 * Puts a backup in the place of the file, once it has been checked. A file that is there needs `force`, and is kept;
 * resolves with its new name. Refuses while anybody has the file open.
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
    // A log without its database would be taken for the new one's.
    for (const ending of ['-wal', '-shm', '-journal']) rmSync(file + ending, { force: true });
    moveIntoPlace(unfinished, file);
    return kept;
  } finally {
    removeDatabase(unfinished);
  }
}

/** Throws when the copy of the backup is no database of ours, or damaged, or newer. */
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
 * Ids of events that were given out after the backup would else be given out again, to others. How many there were nobody
 * knows, when the file is lost; but a millisecond has less than one event, over the years.
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
 * Carries the write-ahead log over, so that the old file is whole under its new name. Leaving WAL mode needs the file
 * for oneself, and so tells whether anybody has it open. A damaged file cannot tell; then the
 * system is asked who has it open.
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

/** Whether a process that we may look at has the file open (proc(5)). */
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

/** Processes come and go, and those of other users are closed to us. */
function attemptOr<R>(otherwise: R, act: () => R): R {
  try {
    return act();
  } catch {
    return otherwise;
  }
}

/** Renames the old file, and a log that could not be carried over. */
function keep(file: string): string {
  const kept = `${file}.before-restore-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`;
  for (const ending of ['-wal', '-journal']) {
    if (existsSync(file + ending)) renameSync(file + ending, kept + ending);
  }
  renameSync(file, kept);
  return kept;
}

/**
 * Gives the empty pages of the file back to the file system. For itself, it writes the file anew, which also puts rows
 * that lie scattered together; while a server has the file open, it moves pages in steps between the server's writes.
 */
export async function compact(file: string, progress: Progress): Promise<{ rewritten: boolean }> {
  assertThere(file);
  inspect(file);
  const rewritten = alone(file);
  const db = connected(file, { fileMustExist: true });
  try {
    if (rewritten) {
      announce(progress, 'rewriting', file);
      db.pragma('auto_vacuum = INCREMENTAL');
      db.exec('VACUUM');
    } else {
      await release(new Space(db), patiently(progress, 'compacting'));
      db.pragma('wal_checkpoint(PASSIVE)');
    }
    return { rewritten };
  } catch (error) {
    throw startFailure(file, error);
  } finally {
    db.close();
  }
}

/** Refuses what a newer program wrote, before anything is changed. */
function inspect(file: string): void {
  const db = connected(file, { fileMustExist: true });
  try {
    assertKnown(db, file);
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
    // A breath for the server's writes.
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
