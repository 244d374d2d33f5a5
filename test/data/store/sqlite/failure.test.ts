/** What failures of SQLite mean: 503 for what ails the file, the disk or the machine, 500 only for faults of the program. */
import { appendFileSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { trials } from '../../../../src/data/store/availability.js';
import { storeFailure } from '../../../../src/data/store/sqlite/failure.js';
import { SqliteStore } from '../../../../src/data/store/sqlite/sqlite.js';
import { insert } from '../../../../src/data/store/port.js';
import { ApiError } from '../../../../src/model/error.js';
import { failureOf } from '../../../support/eventually.js';

const failed = (code: string) => new Database.SqliteError('failed', code);

describe('a failure of SQLite', () => {
  for (const code of [
    ...['SQLITE_BUSY', 'SQLITE_BUSY_SNAPSHOT', 'SQLITE_LOCKED', 'SQLITE_PROTOCOL', 'SQLITE_FULL'],
    ...['SQLITE_READONLY', 'SQLITE_READONLY_DBMOVED', 'SQLITE_PERM', 'SQLITE_CANTOPEN'],
    ...['SQLITE_IOERR', 'SQLITE_IOERR_WRITE', 'SQLITE_IOERR_FSYNC', 'SQLITE_IOERR_SHMMAP'],
    ...['SQLITE_NOMEM', 'SQLITE_CORRUPT', 'SQLITE_CORRUPT_INDEX', 'SQLITE_NOTADB'],
    ...['SQLITE_INTERRUPT', 'SQLITE_ABORT', 'SQLITE_ABORT_ROLLBACK', 'SQLITE_NOTFOUND'],
  ]) {
    it(`is an outage: ${code}`, () => {
      const shown = storeFailure(failed(code));
      expect(shown).to.be.instanceOf(ApiError);
      expect(shown).to.include({ code: 'store_unavailable', status: 503 });
      expect((shown as ApiError).headers).to.have.property('Retry-After');
    });
  }
  for (const code of [
    'SQLITE_ERROR',
    'SQLITE_CONSTRAINT_CHECK',
    'SQLITE_MISUSE',
    'SQLITE_RANGE',
    'SQLITE_TOOBIG',
  ]) {
    it(`is none: ${code}`, () => {
      const error = failed(code);
      expect(storeFailure(error)).to.equal(error);
    });
  }
});

describe('a SQLite file under a store that is open', () => {
  let folder: string;
  let store: SqliteStore;
  const file = () => join(folder, 'a.sqlite');

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'copse-test-'));
    store = new SqliteStore(file(), [trials]);
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const write = (id: string) => store.write([insert(trials, id, { count: 1 })]);

  for (const [what, ending, act] of [
    ['moved', '', (path: string) => renameSync(path, `${path}.elsewhere`)],
    ['deleted', '', (path: string) => rmSync(path)],
    ['left without its log', '-wal', (path: string) => rmSync(path)],
    [
      'replaced',
      '',
      (path: string) => {
        rmSync(path);
        appendFileSync(path, '');
      },
    ],
  ] as const) {
    it(`takes no write that would be lost when it was ${what}`, async () => {
      await write('before');
      act(file() + ending);
      for (const ask of [() => write('lost'), () => store.lastChange()]) {
        const error = await failureOf(ask);
        expect(error).to.include({ code: 'store_unavailable' });
        expect(error.message).to.include('moved, deleted or replaced');
      }
    });
  }

  it('takes writes again once it is back in its place', async () => {
    renameSync(file(), `${file()}.elsewhere`);
    expect(await failureOf(write('not-now'))).to.include({ code: 'store_unavailable' });
    renameSync(`${file()}.elsewhere`, file());
    await write('now');
    expect((await store.get(trials, 'now'))?.revision).to.equal(1);
  });

  it('is away, not a defect, for what still asks after the end', async () => {
    await store.close();
    for (const ask of [() => write('late'), () => store.get(trials, 'late'), () => store.lastChange()])
      expect(await failureOf(ask)).to.include({ code: 'store_unavailable' });
    store = new SqliteStore(file(), [trials]);
  });
});
