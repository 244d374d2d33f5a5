/** What SQLite's failures mean to a caller: the store is unavailable, or its file is damaged. */
import Database from 'better-sqlite3';
import { ApiError } from '../../../model/error.js';

const meanings: Readonly<Record<string, string>> = {
  SQLITE_BUSY: 'another process has been writing for too long',
  SQLITE_LOCKED: 'another process has been writing for too long',
  SQLITE_PROTOCOL: 'another process has been writing for too long',
  SQLITE_FULL: 'its disk is full',
  SQLITE_READONLY: 'its file cannot be written',
  SQLITE_PERM: 'its file cannot be written',
  SQLITE_CANTOPEN: 'its file cannot be opened',
  SQLITE_IOERR: 'its disk reports errors',
  // A failed disk, or a file system that became read-only under the open file.
  SQLITE_IOERR_WRITE: 'its disk accepts no writes',
  SQLITE_CORRUPT: 'its file is damaged',
  SQLITE_NOTADB: 'its file is damaged',
  SQLITE_NOMEM: 'there is not enough memory',
};

/** SQLite errors about a wrong statement or value. Any other failure is temporary, or due to the file. */
const ownFaults = new Set([
  'SQLITE_AUTH',
  'SQLITE_ERROR',
  'SQLITE_INTERNAL',
  'SQLITE_CONSTRAINT',
  'SQLITE_MISMATCH',
  'SQLITE_MISUSE',
  'SQLITE_RANGE',
  'SQLITE_TOOBIG',
]);

const plainCode = (code: string): string => code.split('_').slice(0, 2).join('_');

/** Extended codes, such as SQLITE_IOERR_READ, begin with the plain one. */
function meaningOf(code: string): string | undefined {
  const known = meanings[code] ?? meanings[plainCode(code)];
  return known ?? (ownFaults.has(plainCode(code)) ? undefined : 'it was interrupted');
}

/** Whether another process holds the required lock. */
export function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}

/** `store_unavailable` for failures of the database; anything else unchanged. */
export function storeFailure(error: unknown): unknown {
  if (!(error instanceof Database.SqliteError)) return error;
  const meaning = meaningOf(error.code);
  return meaning === undefined ? error : unusable(meaning, error);
}

export function unusable(why: string, cause?: unknown): ApiError {
  return new ApiError('store_unavailable', `The database is unavailable: ${why}.`, {
    cause,
    headers: { 'Retry-After': '5' },
  });
}
