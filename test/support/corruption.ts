/** Damages a database file like a failing disk. */
import { closeSync, openSync, writeSync } from 'node:fs';
import Database from 'better-sqlite3';

/** Overwrites one page with instances by random bytes. The file must be closed. */
export function corruptPage(file: string): void {
  const database = new Database(file);
  database.pragma('wal_checkpoint(TRUNCATE)');
  const size = database.pragma('page_size', { simple: true }) as number;
  const root = database
    .prepare("SELECT rootpage FROM sqlite_master WHERE name = 'instances'")
    .pluck()
    .get() as number;
  database.close();
  const handle = openSync(file, 'r+');
  writeSync(handle, Buffer.alloc(size, 0xa5), 0, size, (root - 1) * size);
  closeSync(handle);
}
