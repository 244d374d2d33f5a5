/** What the store's promises rest on, read from the very connections that it writes with. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { collections } from '../../../../src/data/connector.js';
import { open } from '../../../../src/data/store/sqlite/file.js';
import { SqliteStore } from '../../../../src/data/store/sqlite/sqlite.js';
import { organizations } from '../../../../src/data/organization.js';
import { insert } from '../../../../src/data/store/port.js';
import { silentLog } from '../../../../src/model/log.js';

describe('a SQLite store', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'copse-test-'));
    file = join(folder, 'copse.sqlite');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const settings = () => {
    const { db } = open(file, silentLog, Infinity);
    const read = (name: string) => db.pragma(name, { simple: true });
    const found = {
      journal_mode: read('journal_mode'),
      synchronous: read('synchronous'),
      foreign_keys: read('foreign_keys'),
      auto_vacuum: read('auto_vacuum'),
      journal_size_limit: read('journal_size_limit'),
      busy_timeout: read('busy_timeout'),
      locking_mode: read('locking_mode'),
      read_uncommitted: read('read_uncommitted'),
      ignore_check_constraints: read('ignore_check_constraints'),
    };
    db.close();
    return found;
  };

  it('writes what survives a loss of power: WAL, and every commit on the disk', async () => {
    const expected = {
      journal_mode: 'wal',
      // FULL. NORMAL (1) would lose commits that were answered with 2xx.
      synchronous: 2,
      foreign_keys: 1,
      // INCREMENTAL.
      auto_vacuum: 2,
      journal_size_limit: 64 * 2 ** 20,
      busy_timeout: 5000,
      locking_mode: 'normal',
      read_uncommitted: 0,
      ignore_check_constraints: 0,
    };
    expect(settings(), 'a new file').to.deep.equal(expected);
    rmSync(file);
    await new SqliteStore(file, collections).close();
    expect(settings(), 'a file that was there').to.deep.equal(expected);
    expect(statSync(file).mode & 0o777).to.equal(0o600);
  });

  it('waits for another writer as long as it was told, and no longer', async () => {
    const store = new SqliteStore(file, collections, { lockWait: 300 });
    const other = new Database(file);
    other.exec('BEGIN IMMEDIATE');
    const began = performance.now();
    const value = { name: 'late', creationTime: new Date().toISOString(), createdBy: 'test' };
    const failure = await store.write([insert(organizations, 'late', value)]).then(
      () => undefined,
      (error: unknown) => error as { code: string },
    );
    expect(failure?.code).to.equal('store_unavailable');
    expect(performance.now() - began).to.be.within(290, 4500);
    other.exec('ROLLBACK');
    other.close();
    await store.write([insert(organizations, 'late', value)]);
    await store.close();
  });
});
