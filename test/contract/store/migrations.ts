/** The part of the store contract about migrations, for engines whose data can be shared. */
import { expect } from 'chai';
import type { Migration } from '../../../src/data/migration/migration.js';
import { migrate } from '../../../src/data/migration/runner.js';
import { schema, schemaId } from '../../../src/data/migration/schema.js';
import { ownerName } from '../../../src/data/owner.js';
import { insert, replace, type Store } from '../../../src/data/store/port.js';
import { silentLog } from '../../../src/model/log.js';
import { eventually, failureOf } from '../../support/eventually.js';
import { deadOwner } from '../../support/rows.js';
import { type StoreFixture, thing, things } from './bench.js';

/** Adds one to every rank, and counts how often it has been asked to. */
function ranksUp(version: number, seen: { calls: number; failAt?: number }): Migration {
  return {
    version,
    name: 'ranks-up',
    run: (work) =>
      work.rewrite(things, (value) => {
        seen.calls += 1;
        if (seen.calls === seen.failAt) throw new Error('the process ends here');
        return { ...value, rank: value.rank + 1 };
      }),
  };
}

function options(change: { owner?: string; lease?: number } = {}) {
  return { owner: ownerName(), log: silentLog, used: [things], ...change };
}

/** `rows` make several pages of a migration, and `failAt` lies within one of the later. */
export function migrationContract(makeFixture: () => StoreFixture, rows = 950): void {
  const failAt = Math.floor(rows * 0.9);
  describe('a migration', function () {
    this.timeout(60_000);
    let fixture: StoreFixture;
    let store: Store;

    beforeEach(async () => {
      fixture = makeFixture();
      store = await fixture.open();
    });
    afterEach(async () => {
      await store.close();
      await fixture.clear();
    });

    const seed = () =>
      store.write(
        Array.from({ length: rows }, (_, index) =>
          insert(things, `id-${String(index).padStart(4, '0')}`, thing({ name: `n${index}`, rank: index })),
        ),
      );
    const ranks = async () =>
      (await store.page(things, { order: 'id', limit: 1000 })).map(({ value }) => value.rank);
    const shifted = (by: number) => Array.from({ length: rows }, (_, index) => index + by);

    it('is not run on an empty store, which has the newest schema at once', async () => {
      const seen = { calls: 0 };
      await migrate(store, [ranksUp(2, seen)], options());
      expect((await store.get(schema, schemaId))?.value).to.deep.equal({ version: 2 });
      await seed();
      await migrate(store, [ranksUp(2, seen)], options());
      expect(seen.calls).to.equal(0);
    });

    it('changes each document once, in its order, and a second start changes nothing', async () => {
      await seed();
      const seen = { calls: 0 };
      const list = [ranksUp(2, seen), ranksUp(3, seen)];
      await migrate(store, list, options());
      expect(await ranks()).to.deep.equal(shifted(2));
      expect(seen.calls).to.equal(2 * rows);
      const before = await store.get(schema, schemaId);
      expect(before?.value).to.deep.equal({ version: 3 });
      await migrate(store, list, options());
      expect(await store.get(schema, schemaId)).to.deep.equal(before);
      expect(await ranks()).to.deep.equal(shifted(2));
    });

    it('that only derives anew keeps revisions and the change log', async () => {
      await seed();
      const first = await store.get(things, 'id-0000');
      if (first === undefined) throw new Error('the seed is not there');
      await store.write([replace(things, first, first.value)]);
      const before = [await store.page(things, { order: 'id', limit: 1000 }), await store.changeRange()];
      await migrate(store, [{ version: 2, name: 'derive', run: (work) => work.rewrite(things) }], options());
      expect([
        await store.page(things, { order: 'id', limit: 1000 }),
        await store.changeRange(),
      ]).to.deep.equal(before);
    });

    it('takes documents of which a page is more than any engine stores at once', async () => {
      const payload = 'x'.repeat(2_000_000);
      for (const id of ['a', 'b', 'c', 'd'])
        await store.write([insert(things, id, thing({ name: id, payload }))]);
      await migrate(store, [ranksUp(2, { calls: 0 })], options());
      expect(await ranks()).to.deep.equal([1, 1, 1, 1]);
    });

    it('goes on where it was interrupted, and gives no document the change twice', async () => {
      await seed();
      const seen = { calls: 0, failAt };
      const interrupted = migrate(store, [ranksUp(2, seen)], options({ owner: deadOwner() }));
      expect((await failureOf(interrupted)).message).to.equal('the process ends here');
      const left = await store.get(schema, schemaId);
      expect(left?.value.version).to.equal(1);
      expect(left?.value.progress?.after).to.be.a('string');
      expect((await ranks()).filter((rank, index) => rank !== index).length).to.be.within(1, rows - 1);
      await migrate(store, [ranksUp(2, { calls: 0 })], options());
      expect(await ranks()).to.deep.equal(shifted(1));
    });

    it('is run by one of several who start together, and the others wait for it', async () => {
      await seed();
      const others = await Promise.all([fixture.open(), fixture.open()]);
      try {
        const seen = { calls: 0 };
        await Promise.all([store, ...others].map((one) => migrate(one, [ranksUp(2, seen)], options())));
        expect(await ranks()).to.deep.equal(shifted(1));
      } finally {
        for (const other of others) await other.close();
      }
    });

    it('waits while a living process holds the lease, and takes over when it runs out', async () => {
      await seed();
      // Held elsewhere, by a process whose clock is an hour ahead.
      const lease = { owner: ownerName(), until: Date.now() + 3_600_000 };
      await store.write([insert(schema, schemaId, { version: 1, lease })]);
      const seen = { calls: 0 };
      const end = performance.now() + 700;
      const migrating = migrate(store, [ranksUp(2, seen)], options({ lease: 700 }));
      await eventually(() => performance.now() >= end - 100);
      expect(seen.calls).to.equal(0);
      await migrating;
      expect(performance.now()).to.be.at.least(end);
      expect(await ranks()).to.deep.equal(shifted(1));
    });

    it('leaves the lease to a process that goes on, though it has run out by its clock', async () => {
      await seed();
      let rivals: Promise<void> | undefined;
      const [seen, rivalSeen] = [{ calls: 0 }, { calls: 0 }];
      const rival = await fixture.open();
      try {
        const migration = ranksUp(2, seen);
        const watched: Migration = {
          ...migration,
          run: (work) => {
            rivals ??= migrate(rival, [ranksUp(2, rivalSeen)], options());
            return migration.run(work);
          },
        };
        await migrate(store, [watched], options({ lease: 0 }));
        await rivals;
        expect(rivalSeen.calls).to.equal(0);
        expect(await ranks()).to.deep.equal(shifted(1));
      } finally {
        await rival.close();
      }
    });

    it('stops writing when another process has taken over', async () => {
      await seed();
      let rivals: Promise<void> | undefined;
      const seen = { calls: 0 };
      const rival = await fixture.open();
      try {
        const slow: Migration = {
          version: 2,
          name: 'slow',
          run: async (work) => {
            // The rival waits for nobody: it takes over in the midst.
            rivals ??= migrate(rival, [ranksUp(2, seen)], options({ lease: 0 }));
            await rivals;
            await work.rewrite(things, (value) => ({ ...value, rank: -1 }));
          },
        };
        await migrate(store, [slow], options());
        expect(await ranks()).to.deep.equal(shifted(1));
      } finally {
        await rival.close();
      }
    });

    it('of a newer program makes an older one refuse, with both versions, and nothing is changed', async () => {
      await seed();
      await store.write([insert(schema, schemaId, { version: 4 })]);
      const before = await store.get(schema, schemaId);
      const failure = await failureOf(migrate(store, [ranksUp(2, { calls: 0 })], options()));
      expect(failure.message).to.match(/schema 4; this version supports 2\. Nothing was changed/);
      expect(await store.get(schema, schemaId)).to.deep.equal(before);
      expect(await ranks()).to.deep.equal(shifted(0));
    });
  });
}
