import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { ownerName } from '../../../../src/data/owner.js';
import { SqliteStore } from '../../../../src/data/store/sqlite/sqlite.js';
import { collections } from '../../../contract/store/bench.js';
import { RecordingLog } from '../../../support/log.js';
import { deadOwner } from '../../../support/rows.js';

const here = JSON.parse(ownerName()) as { place: string; pid: number; start: string };
const boot = here.place.slice(0, here.place.indexOf(':'));

describe('a SQLite file that was not closed', () => {
  let folder: string;
  let file: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'copse-marks-'));
    file = join(folder, 'store.sqlite');
    await new SqliteStore(file, collections).close();
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const leave = (owner: string) => {
    const db = new Database(file);
    db.prepare('INSERT INTO "open_marks" VALUES (?, ?)').run(owner, owner);
    db.close();
  };
  const marks = () => {
    const db = new Database(file);
    const owners = db.prepare('SELECT "owner" FROM "open_marks"').pluck(true).all();
    db.close();
    return owners;
  };
  /** The checks that an open tells of. */
  const checksOf = async (checkLimit?: number) => {
    const log = new RecordingLog();
    const store = new SqliteStore(file, collections, {
      log,
      ...(checkLimit === undefined ? {} : { checkLimit }),
    });
    await store.close();
    return log.entries
      .filter(({ message }) => message.includes('was not closed'))
      .map(({ details }) => details['check']);
  };

  for (const [what, owner] of [
    ['a process that is no more', deadOwner()],
    [
      'another boot, as after a loss of power',
      JSON.stringify({ ...here, place: `${boot.replace(/^./, 'x')}:pid:[1]` }),
    ],
    ['another container', JSON.stringify({ ...here, place: `${boot}:pid:[1]` })],
    ['a system that names no boot', JSON.stringify({ ...here, place: 'unknown' })],
  ] as const) {
    it(`by ${what} is checked, once`, async () => {
      leave(owner);
      expect(await checksOf()).to.deep.equal(['integrity_check']);
      expect(marks()).to.deep.equal([]);
      expect(await checksOf()).to.deep.equal([]);
    });
  }

  it('is not called so while others have it open, of whom one may be in another container', async () => {
    const foreign = JSON.stringify({ ...here, place: `${boot}:pid:[1]` });
    leave(foreign);
    const open = new Database(file);
    open.prepare('SELECT count(*) FROM sqlite_master').get();
    expect(await checksOf()).to.deep.equal([]);
    open.close();
    expect(marks()).to.deep.equal([foreign]);
    expect(await checksOf()).to.deep.equal(['integrity_check']);
  });

  it('is only looked through when it is bigger than the limit', async () => {
    leave(deadOwner());
    expect(await checksOf(1)).to.deep.equal(['quick_check']);
  });
});
