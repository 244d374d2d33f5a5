/** Checks that the file is intact before anything is read from it. */
import { statSync } from 'node:fs';
import type { Database } from 'better-sqlite3';

const MiB = 2 ** 20;

/** Up to this size a file gets the quick check at every start: it takes a moment. */
const always = 32 * MiB;
/** What a check reads per second, at least, on a slow and busy machine: used only to estimate its duration. */
const rates = { quick_check: 100 * MiB, integrity_check: 16 * MiB };
/** Minimum duration in seconds from which a check is logged with its estimate. */
const quietSeconds = 2;

/** A damaged file; the message says what to do. */
export class DamagedFile extends Error {
  override readonly name = 'DamagedFile';

  constructor(file: string, found: string, options?: ErrorOptions) {
    super(
      `The database ${file} is damaged (${found}). Nothing was changed. Restore a backup with ` +
        '"copse restore BACKUP --force", which keeps the damaged file next to it; see docs/operations.md.',
      options,
    );
  }
}

/** The faults that the check finds; undefined if the file is intact. */
export function faultsOf(db: Database, kind: 'quick_check' | 'integrity_check'): string | undefined {
  const found = (db.pragma(`${kind}(3)`) as Record<string, string>[]).map((row) => Object.values(row)[0]);
  return found.length === 1 && found[0] === 'ok' ? undefined : found.join('; ').replaceAll('\n', ' ');
}

/**
 * Throws DamagedFile. After an unclean shutdown a file up to `limit` bytes is checked with `integrity_check`, a larger
 * one only with `quick_check`, which does not compare indexes with their tables; `say` is called before a check that
 * takes time.
 */
export function assertWhole(
  db: Database,
  file: string,
  leftOpen: boolean,
  limit: number,
  say: (details: object, message: string) => void,
): void {
  const { size } = statSync(file);
  if (!leftOpen && size > always) return;
  const kind = leftOpen && size <= limit ? 'integrity_check' : 'quick_check';
  if (leftOpen) {
    const seconds = Math.ceil(size / rates[kind]);
    const time = seconds < quietSeconds ? '' : `; it may take ${seconds} seconds`;
    say({ file, check: kind, MiB: Math.ceil(size / MiB) }, `the database was not closed; checking it${time}`);
  }
  // The check reads in random order, and so benefits from memory. Mapping the file would be even faster, but an
  // unreadable sector would end the process without a message.
  const usual = db.pragma('cache_size', { simple: true }) as number;
  db.pragma('cache_size = -65536');
  const faults = faultsOf(db, kind);
  db.pragma(`cache_size = ${usual}`);
  db.pragma('shrink_memory');
  if (faults !== undefined) throw new DamagedFile(file, faults);
}

/** Whether SQLite's error means that the file is damaged. */
export function isDamage(error: unknown): error is Error {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB';
}
