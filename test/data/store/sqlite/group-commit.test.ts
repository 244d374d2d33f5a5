import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { insert } from '../../../../src/data/store/port.js';
import { GroupCommit } from '../../../../src/data/store/sqlite/group-commit.js';
import { SqliteStore } from '../../../../src/data/store/sqlite/sqlite.js';
import { Statements } from '../../../../src/data/store/sqlite/statements.js';
import { ApiError } from '../../../../src/model/error.js';
import { collections, counters, thing, things } from '../../../contract/store/bench.js';
import { RecordingLog } from '../../../support/log.js';

describe('writes that share a commit', () => {
  let folder: string;
  let file: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'copse-commit-'));
    file = join(folder, 'store.sqlite');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('fail by themselves: those before and after one that fails are stored', async () => {
    const store = new SqliteStore(file, collections);
    await store.write([insert(things, 'there', thing({ name: 'taken' }))]);
    const ends = await Promise.allSettled(
      Array.from({ length: 9 }, (_, index) =>
        store.write([
          insert(counters, `first-${index}`, { count: index }),
          insert(things, `id-${index}`, thing({ name: index % 3 === 1 ? 'taken' : `n${index}` })),
        ]),
      ),
    );
    expect(ends.map(({ status }) => status === 'fulfilled')).to.deep.equal(
      Array.from({ length: 9 }, (_, index) => index % 3 !== 1),
    );
    expect(
      (await store.page(counters, { order: 'id', limit: 20 })).map(({ value }) => value.count),
    ).to.deep.equal([0, 2, 3, 5, 6, 8]);
    expect(await store.count(things, {})).to.equal(7);
    await store.close();
  });

  it('are all refused when the disk is full, nothing of them is there, and the next go through when it has room', async () => {
    const db = new Database(file);
    db.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)');
    const commits = new GroupCommit(new Statements(db), new RecordingLog());
    const add = (size: number) =>
      commits.run(
        () => db.prepare('INSERT INTO t (x) VALUES (?)').run('x'.repeat(size)),
        () => [],
      );
    await add(10);
    // What SQLite says is the same as on a full disk.
    db.pragma(`max_page_count = ${(db.pragma('page_count', { simple: true }) as number) + 4}`);
    const ends = await Promise.allSettled([add(10), add(100_000), add(10)]);
    const count = () => db.prepare('SELECT count(*) FROM t').pluck().get();
    const refused = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as ApiError] : []));
    expect(refused.length).to.be.at.least(1);
    for (const error of refused) {
      expect(error).to.be.instanceOf(ApiError).and.to.include({ code: 'store_unavailable', status: 503 });
      expect(error.headers).to.deep.equal({ 'Retry-After': '5' });
      expect(error.publicMessage).to.include('disk is full').and.not.to.include('SQLITE');
      expect((error.cause as { code: string }).code).to.equal('SQLITE_FULL');
    }
    expect(count()).to.equal(1 + ends.filter(({ status }) => status === 'fulfilled').length);
    db.pragma('max_page_count = 100000');
    await add(100_000);
    expect(db.pragma('integrity_check', { simple: true })).to.equal('ok');
    db.close();
  });

  it('wait for another process, and for one that wrote too long are refused; meanwhile reads are answered at once', async () => {
    const store = new SqliteStore(file, collections);
    await store.write([insert(counters, 'there', { count: 1 })]);
    const rival = new Database(file);
    rival.exec('BEGIN IMMEDIATE');
    const begun = performance.now();
    const writing = { over: false };
    const late = [1, 2].map((count) =>
      store.write([insert(counters, `late-${count}`, { count })]).finally(() => (writing.over = true)),
    );
    const gone = new AbortController();
    const left = store.write([insert(counters, 'left', { count: 0 })], gone.signal);
    const ends = Promise.allSettled([...late, left]);
    let longest = 0;
    for (let reads = 0; !writing.over; reads += 1) {
      const asked = performance.now();
      expect((await store.get(counters, 'there'))?.value.count).to.equal(1);
      await new Promise(setImmediate);
      longest = Math.max(longest, performance.now() - asked);
      if (reads === 10) gone.abort(new Error('the client went away'));
    }
    expect(longest, 'ms that a read took at most').to.be.below(1000);
    const waited = performance.now() - begun;
    expect(waited, 'ms that the writes waited').to.be.within(4900, 8000);
    const [first, second, third] = await ends;
    for (const end of [first, second])
      expect((end as PromiseRejectedResult).reason).to.include({ code: 'store_unavailable', status: 503 });
    expect((third as PromiseRejectedResult).reason).to.have.property('message', 'the client went away');
    const next = store.write([insert(counters, 'next', { count: 3 })]);
    await store.get(counters, 'there');
    rival.exec('COMMIT');
    rival.close();
    await next;
    const page = await store.page(counters, { order: 'id', limit: 10 });
    expect(page.map(({ id }) => id)).to.deep.equal(['next', 'there']);
    await store.close();
  }).timeout(15_000);

  it('that wait when the store is closed are stored and answered', async () => {
    const store = new SqliteStore(file, collections);
    const writes = Array.from({ length: 5 }, (_, index) =>
      store.write([insert(counters, `c-${index}`, { count: index })]),
    );
    await store.close();
    await Promise.all(writes);
    const again = new SqliteStore(file, collections);
    expect(await again.count(counters, {})).to.equal(5);
    await again.close();
  });

  it('are answered, and told to all other listeners, when a listener fails', async () => {
    const log = new RecordingLog();
    const store = new SqliteStore(file, collections, { log });
    const told: string[] = [];
    store.watch(() => {
      throw new Error('a broken listener');
    });
    store.watch((_collection, id) => told.push(id));
    await Promise.all(['a', 'b'].map((id) => store.write([insert(counters, id, { count: 0 })])));
    expect(told).to.deep.equal(['a', 'b']);
    const errors = log.entries.filter(({ level }) => level === 'error');
    expect(errors.map(({ details }) => (details['err'] as Error).message)).to.deep.equal([
      'a broken listener',
      'a broken listener',
    ]);
    await store.close();
  });

  for (const [when, stored] of [
    ['before-commit', false],
    ['before-answer', true],
  ] as const) {
    it(`are ${stored ? 'there' : 'gone without a trace'} when the process is killed ${when.replace('-', ' the ')}`, async () => {
      const script = join(import.meta.dirname, '..', '..', '..', 'support', 'dying-writer.js');
      const child = spawn(process.execPath, [script, file, when], { stdio: ['ignore', 'pipe', 'inherit'] });
      let said = '';
      child.stdout.on('data', (chunk) => (said += String(chunk)));
      const signal = await new Promise((resolve) => child.once('exit', (_code, by) => resolve(by)));
      expect(signal).to.equal('SIGKILL');
      expect(said).to.equal('writing\n');
      const store = new SqliteStore(file, collections);
      const written = await store.page(counters, { order: 'id', limit: 10 });
      expect(written.map(({ id }) => id)).to.deep.equal(stored ? ['one', 'two'] : []);
      await store.close();
    });
  }
});
