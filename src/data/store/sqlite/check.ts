/** Looks whether the file is whole before anything is answered from it. */
import { statSync } from 'node:fs';
import type { Database } from 'better-sqlite3';

const MiB = 2 ** 20;

/** Up to this size a file is looked through at every start: it takes a moment. */
const always = 32 * MiB;
/** Up to this size the check after an unclean stop also compares indexes with their tables, which takes far longer. */
const thorough = 256 * MiB;

/** A damaged file; the message says what to do. */
export class DamagedFile extends Error {
  override readonly name = 'DamagedFile';

  constructor(file: string, found: string, options?: ErrorOptions) {
    super(
      `The database ${file} is damaged (${found}). Nothing was changed. Restore a backup with ` +
        '"copse restore BACKUP --force", which keeps the damaged file beside it; docs/operations.md has more.',
      options,
    );
  }
}

/** What the check finds wrong; undefined when the file is whole. */
export function faultsOf(db: Database, kind: 'quick_check' | 'integrity_check'): string | undefined {
  const found = (db.pragma(`${kind}(3)`) as Record<string, string>[]).map((row) => Object.values(row)[0]);
  return found.length === 1 && found[0] === 'ok' ? undefined : found.join('; ').replaceAll('\n', ' ');
}

/**
 * Throws DamagedFile. Big files are only looked through after an unclean stop, and then without comparing their indexes;
 * `say` is told what is about to take time.
 */
export function assertWhole(
  db: Database,
  file: string,
  leftOpen: boolean,
  say: (details: object, message: string) => void,
): void {
  const { size } = statSync(file);
  if (!leftOpen && size > always) return;
  const kind = leftOpen && size <= thorough ? 'integrity_check' : 'quick_check';
  if (leftOpen)
    say({ file, check: kind, MiB: Math.ceil(size / MiB) }, 'the database was not closed; checking it');
  const faults = faultsOf(db, kind);
  if (faults !== undefined) throw new DamagedFile(file, faults);
}

/** Whether SQLite's error says that the file is no good. */
export function isDamage(error: unknown): error is Error {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB';
}
