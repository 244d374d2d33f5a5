/** Looks whether the file is whole before anything is answered from it. */
import { statSync } from 'node:fs';
import type { Database } from 'better-sqlite3';

const MiB = 2 ** 20;

/** Up to this size a file is looked through at every start: it takes a moment. */
const always = 32 * MiB;
/** What a check reads in a second, at least, on a slow and busy machine: only to tell how long it may take. */
const rates = { quick_check: 100 * MiB, integrity_check: 16 * MiB };
/** Seconds from which a check is told with the time that it may take. */
const patience = 2;

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

/** What the check finds wrong; undefined when the file is whole. */
export function faultsOf(db: Database, kind: 'quick_check' | 'integrity_check'): string | undefined {
  const found = (db.pragma(`${kind}(3)`) as Record<string, string>[]).map((row) => Object.values(row)[0]);
  return found.length === 1 && found[0] === 'ok' ? undefined : found.join('; ').replaceAll('\n', ' ');
}

/**
 * Throws DamagedFile. After an unclean stop a file up to `limit` bytes is checked with `integrity_check`, a bigger one only
 * looked through, without comparing its indexes with their tables; `say` is told what is about to take time.
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
    const time = seconds < patience ? '' : `; it may take ${seconds} seconds`;
    say({ file, check: kind, MiB: Math.ceil(size / MiB) }, `the database was not closed; checking it${time}`);
  }
  // It leaps about in the file, and so profits from memory. A map would be faster still, but a sector that cannot be read
  // would end the process without a word.
  const usual = db.pragma('cache_size', { simple: true }) as number;
  db.pragma('cache_size = -65536');
  const faults = faultsOf(db, kind);
  db.pragma(`cache_size = ${usual}`);
  db.pragma('shrink_memory');
  if (faults !== undefined) throw new DamagedFile(file, faults);
}

/** Whether SQLite's error says that the file is no good. */
export function isDamage(error: unknown): error is Error {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB';
}
