/**
 * Marks of those who have the file open: set at open, taken away at close. A mark of a dead process tells that the file
 * was not closed, and so that it is to be checked.
 */
import { randomUUID } from 'node:crypto';
import type { Database } from 'better-sqlite3';
import { isDeadOwner, ownerName } from '../../owner.js';

export const markSchema = [
  'CREATE TABLE IF NOT EXISTS "open_marks" ("mark" TEXT PRIMARY KEY, "owner" TEXT NOT NULL) STRICT',
];

/** Whether a process that had the file open ended without closing it. */
export function wasLeftOpen(db: Database): boolean {
  const known = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'open_marks'").get();
  if (known === undefined) return false;
  const owners = db.prepare('SELECT DISTINCT "owner" FROM "open_marks"').pluck(true).all() as string[];
  return owners.some((owner) => isDeadOwner(owner));
}

/** Sets a mark for this process and drops those of dead ones; gives the function that takes it away. */
export function setMark(db: Database): () => void {
  const mark = randomUUID();
  const marks = db.prepare('SELECT DISTINCT "owner" FROM "open_marks"').pluck(true).all() as string[];
  for (const owner of marks.filter(isDeadOwner))
    db.prepare('DELETE FROM "open_marks" WHERE "owner" = ?').run(owner);
  db.prepare('INSERT INTO "open_marks" VALUES (?, ?)').run(mark, ownerName());
  return () => {
    db.prepare('DELETE FROM "open_marks" WHERE "mark" = ?').run(mark);
  };
}
