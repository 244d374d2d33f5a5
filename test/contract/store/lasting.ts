/** The part of the store contract for engines whose data outlives the store and can be shared. */
import { expect } from 'chai';
import { type Change, insert, remove, replace, type Store } from '../../../src/data/store/port.js';
import { conflictOf, counters, type StoreFixture, increment, thing, things } from './bench.js';

export function lastingContract(makeFixture: () => StoreFixture): void {
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

  describe('what was written', () => {
    it('is there for the next who opens the same data: documents, revisions, keys, sets and orders', async () => {
      await store.write(
        Array.from({ length: 50 }, (_, index) =>
          insert(
            things,
            `id-${index}`,
            thing({ name: `n${index}`, rank: index % 5, tags: [`t${index % 3}`] }),
          ),
        ),
      );
      const first = await store.get(things, 'id-0');
      if (first !== undefined)
        await store.write([replace(things, first, { ...first.value, name: 'renamed' })]);
      const before = await store.pageTexts(things, { order: 'rank', limit: 100 });
      await store.close();
      store = await fixture.open();
      expect(await store.pageTexts(things, { order: 'rank', limit: 100 })).to.deep.equal(before);
      expect(await store.get(things, 'id-0')).to.deep.include({ revision: 2 });
      expect((await store.find(things, 'name', ['g', 'renamed']))?.id).to.equal('id-0');
      expect(await store.count(things, { has: { tags: ['t1'] } })).to.equal(17);
      expect(await conflictOf(store.write([insert(things, 'new', thing({ name: 'n1' }))]))).to.include({
        key: 'name',
      });
    });

    it('is seen at once by another who has the same data open, and neither overwrites the other', async () => {
      const other = await fixture.open();
      try {
        await store.write([insert(counters, 'c', { count: 0 })]);
        await Promise.all(
          Array.from({ length: 40 }, (_, index) => increment(index % 2 === 0 ? store : other, 'c')),
        );
        expect((await other.get(counters, 'c'))?.value.count).to.equal(40);
        const seen = await other.get(counters, 'c');
        if (seen !== undefined) await store.write([remove(counters, seen)]);
        expect(await other.get(counters, 'c')).to.be.undefined;
      } finally {
        await other.close();
      }
    });

    it('is checked as another who has the same data open has left it', async () => {
      const other = await fixture.open();
      try {
        await store.write([
          insert(things, 'a', thing({ name: 'a' })),
          insert(things, 'b', thing({ name: 'b' })),
        ]);
        const [a, b] = await store.page(things, { order: 'id', limit: 2 });
        if (a === undefined || b === undefined) throw new Error('they are not there');
        await other.write([replace(things, a, { ...a.value, name: 'c' }), remove(things, b)]);
        expect(await conflictOf(store.write([replace(things, a, a.value)]))).to.include({ kind: 'revision' });
        expect(await conflictOf(store.write([remove(things, b)]))).to.include({ kind: 'revision' });
        const taken = insert(things, 'd', thing({ name: 'c' }));
        expect(await conflictOf(store.write([taken]))).to.include({ kind: 'unique', key: 'name' });
        await store.write([insert(things, 'b', thing({ name: 'a' }))]);
        await store.write([replace(things, { ...a, revision: 2 }, { ...a.value, name: 'd' })]);
        const names = (await other.page(things, { order: 'id', limit: 9 })).map(({ value }) => value.name);
        expect(names).to.deep.equal(['d', 'a']);
      } finally {
        await other.close();
      }
    });

    it('is claimed once by one call, though it still matches and a rival changes some of it meanwhile', async () => {
      const other = await fixture.open();
      try {
        await store.write(
          Array.from({ length: 9 }, (_, index) =>
            insert(things, `id-${index}`, thing({ name: `n${index}` })),
          ),
        );
        await other.write([insert(counters, 'c', { count: 0 })]);
        for (let round = 0; round < 5; round += 1) {
          const rivalled = await store.get(things, 'id-4');
          if (rivalled === undefined) throw new Error('it is not there');
          // The rival is to be ahead: it has just written something else.
          await increment(other, 'c');
          let rival: Promise<unknown> | undefined;
          const claimed = await store.claim(things, { order: 'id', limit: 9 }, ({ value }) => {
            rival ??= other
              .write([replace(things, rivalled, { ...rivalled.value, rank: round })])
              .catch((error: unknown) => error);
            return { ...value, payload: round };
          });
          await rival;
          expect(claimed.map(({ id }) => id).sort()).to.deep.equal(
            Array.from({ length: 9 }, (_, index) => `id-${index}`),
          );
          const last = claimed.find(({ id }) => id === 'id-8');
          expect(await store.get(things, 'id-8')).to.deep.equal(last);
        }
      } finally {
        await other.close();
      }
    });

    it('is in the change log of another who has the same data open: the same, at the same positions', async () => {
      const other = await fixture.open();
      try {
        const follow = async (one: Store, over: () => boolean) => {
          const seen: Change[] = [];
          for (let after = 0, done = false; !done;) {
            done = over();
            const { changes, next } = await one.changes({ after, limit: 3 });
            seen.push(...changes);
            if (next !== after) done = false;
            after = next;
            await new Promise(setImmediate);
          }
          return seen;
        };
        let writing = true;
        const both = Promise.all([store, other].map((one) => follow(one, () => !writing)));
        await Promise.all(
          Array.from({ length: 20 }, (_, index) =>
            (index % 2 === 0 ? store : other).write([
              insert(things, `a-${index}`, thing({ name: `a-${index}` })),
              insert(things, `b-${index}`, thing({ name: `b-${index}` })),
            ]),
          ),
        );
        writing = false;
        const [mine = [], theirs] = await both;
        expect(mine).to.have.length(40);
        expect(theirs).to.deep.equal(mine);
        expect(await other.changeRange()).to.deep.equal(await store.changeRange());
      } finally {
        await other.close();
      }
    });

    it('moves the epoch and the end of the change log of another, who otherwise sees them stand still', async () => {
      const other = await fixture.open();
      const turn = () => new Promise(setImmediate);
      try {
        await store.write([insert(things, 'a', thing({ name: 'a' }))]);
        await turn();
        const before = { epoch: other.epoch(), last: await other.lastChange() };
        await turn();
        expect(await other.lastChange()).to.deep.equal(before.last);
        await store.write([insert(counters, 'c', { count: 1 })]);
        await turn();
        const after = { epoch: other.epoch(), last: await other.lastChange() };
        expect(after.epoch).not.to.equal(before.epoch);
        expect(after.last.others, 'by a write that is not logged').not.to.equal(before.last.others);
        expect(after.last.position).to.equal(before.last.position);
        await store.write([insert(things, 'b', thing({ name: 'b' }))]);
        await turn();
        const last = await other.lastChange();
        expect(last.position).to.equal((await store.lastChange()).position);
        expect(last.position).to.be.greaterThan(after.last.position);
        expect(last.others).not.to.equal(after.last.others);
      } finally {
        await other.close();
      }
    });

    it('is claimed once when two who have the same data open ask together', async () => {
      const other = await fixture.open();
      try {
        await store.write(
          Array.from({ length: 40 }, (_, index) =>
            insert(things, `id-${index}`, thing({ name: `n${index}` })),
          ),
        );
        const claims = Array.from({ length: 40 }, (_, index) =>
          (index % 2 === 0 ? store : other).claim(
            things,
            { order: 'id', filter: { group_id: 'g' }, limit: 2 },
            ({ value }) => ({ ...value, group: 'taken' }),
          ),
        );
        const ids = (await Promise.all(claims)).flat().map(({ id }) => id);
        expect(ids).to.have.length(40);
        expect(new Set(ids).size).to.equal(40);
      } finally {
        await other.close();
      }
    });
  });
}
