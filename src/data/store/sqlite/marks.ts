/**
 * Marks of the processes that have the file open: set on opening, removed on closing. The mark of a dead process shows
 * that the file was not closed and must be checked.
 *
 * A file belongs to one machine, so a mark of another boot is that of a dead process: for example, the machine lost
 * power, or the file was copied from another one. Whether a process in another container is alive is shown by the
 * file's locks.
 */
import { randomInt, randomUUID } from 'node:crypto';
import Database from 'better-sqlite3';
import { fateOf, ownerName } from '../../owner.js';

export const markSchema = [
  'CREATE TABLE IF NOT EXISTS "open_marks" ("mark" TEXT PRIMARY KEY, "owner" TEXT NOT NULL) STRICT',
];

/** Several processes that check at the same time block each other, but only for milliseconds. */
const tries = 5;

/** The owners of marks left by processes that ended without closing the file. To be called before it is opened. */
export function ownersLeft(file: string): string[] {
  const owners = ownersOf(file);
  const dead = owners.filter((owner) => ['dead', 'past'].includes(fateOf(owner)));
  const foreign = owners.filter((owner) => fateOf(owner) === 'foreign');
  return foreign.length > 0 && isFree(file) ? [...dead, ...foreign] : dead;
}

function ownersOf(file: string): string[] {
  const db = new Database(file, { fileMustExist: true });
  try {
    const known = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'open_marks'").get();
    if (known === undefined) return [];
    return db.prepare<[], string>('SELECT DISTINCT "owner" FROM "open_marks"').pluck(true).all();
  } finally {
    db.close();
  }
}

/** Whether no process has the file open: a reader in WAL mode keeps a shared lock. */
function isFree(file: string): boolean {
  for (let tried = 1; ; tried += 1) {
    const db = new Database(file, { fileMustExist: true, timeout: 0 });
    try {
      // Set before the first read, it makes that read lock the whole file, or fail.
      db.pragma('locking_mode = EXCLUSIVE');
      db.prepare('SELECT count(*) FROM sqlite_master').get();
      return true;
    } catch (error) {
      if (!(error instanceof Database.SqliteError) || !error.code.startsWith('SQLITE_BUSY')) throw error;
      if (tried === tries) return false;
    } finally {
      db.close();
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, randomInt(5, 50));
  }
}

/** Sets a mark for this process and drops abandoned ones; returns the function that removes it. */
export function setMark(db: Database.Database, left: readonly string[]): () => void {
  const mark = randomUUID();
  for (const owner of left) db.prepare('DELETE FROM "open_marks" WHERE "owner" = ?').run(owner);
  db.prepare('INSERT INTO "open_marks" VALUES (?, ?)').run(mark, ownerName());
  return () => {
    db.prepare('DELETE FROM "open_marks" WHERE "mark" = ?').run(mark);
  };
}
