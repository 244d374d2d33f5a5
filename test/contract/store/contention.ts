/** The part of the store contract about many at once. */
import { expect } from 'chai';
import { insert, type Store } from '../../../src/data/store/port.js';
import { failureOf } from '../../support/eventually.js';
import { counters, type StoreFixture, increment, thing, things } from './bench.js';

/** `writers` go for one document at once. */
export function contentionContract(makeFixture: () => StoreFixture, writers = 10_000): void {
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

  describe('a claim', () => {
    const claimMany = (one: Store, group: string, limit: number) =>
      one.claim(things, { order: 'rank', filter: { group_id: group }, limit }, ({ value }) => ({
        ...value,
        group: 'taken',
      }));
    const claim = async (one: Store, group: string) => (await claimMany(one, group, 1))[0];

    it('takes the first in the order, changes it and gives it back as it is now', async () => {
      await store.write([
        insert(things, 'a', thing({ name: 'a', rank: 2 })),
        insert(things, 'b', thing({ name: 'b', rank: 1 })),
      ]);
      const claimed = await claim(store, 'g');
      expect(claimed).to.deep.equal({
        id: 'b',
        revision: 2,
        value: thing({ name: 'b', rank: 1, group: 'taken' }),
      });
      expect(await store.get(things, 'b')).to.deep.equal(claimed);
    });

    it('finds nothing where nothing matches', async () => {
      await store.write([insert(things, 'a', thing({ group: 'other' }))]);
      expect(await claim(store, 'g')).to.be.undefined;
    });

    it('gives each of 100 documents to one of 100 at a time, in order', async () => {
      await store.write(
        Array.from({ length: 100 }, (_, index) =>
          insert(things, `id-${String(index).padStart(3, '0')}`, thing({ name: `n${index}` })),
        ),
      );
      const claimed = await Promise.all(Array.from({ length: 100 }, () => claim(store, 'g')));
      const ids = claimed.map((document) => document?.id ?? 'none');
      expect(new Set(ids).size).to.equal(100);
      expect(ids).not.to.include('none');
      expect(await claim(store, 'g')).to.be.undefined;
      expect(await store.count(things, { filter: { group_id: 'taken' } })).to.equal(100);
    });

    it('takes as many as are wanted, in order, and fewer only when there are no more', async () => {
      await store.write(
        Array.from({ length: 5 }, (_, rank) =>
          insert(things, `id-${rank}`, thing({ name: `n${rank}`, rank })),
        ),
      );
      const first = await claimMany(store, 'g', 3);
      expect(first.map(({ id }) => id)).to.deep.equal(['id-0', 'id-1', 'id-2']);
      expect(await store.get(things, 'id-1')).to.deep.equal(first[1]);
      expect((await claimMany(store, 'g', 3)).map(({ id }) => id)).to.deep.equal(['id-3', 'id-4']);
      expect(await claimMany(store, 'g', 3)).to.deep.equal([]);
    });

    it('gives each of 60 documents to one of 10 who want up to ten each', async () => {
      await store.write(
        Array.from({ length: 60 }, (_, index) => insert(things, `id-${index}`, thing({ name: `n${index}` }))),
      );
      const claimed = (await Promise.all(Array.from({ length: 10 }, () => claimMany(store, 'g', 10)))).flat();
      expect(claimed).to.have.length(60);
      expect(new Set(claimed.map(({ id }) => id)).size).to.equal(60);
    });

    it('is told to watchers when it found something, and only then', async () => {
      const news: string[] = [];
      await store.write([insert(things, 'a', thing())]);
      store.watch((_collection, id) => news.push(id));
      await claim(store, 'g');
      await claim(store, 'g');
      expect(news).to.deep.equal(['a']);
    });

    it('that fails while it changes the document leaves it as it was', async () => {
      await store.write([insert(things, 'a', thing())]);
      const failing = store.claim(things, { order: 'id', limit: 1 }, () => {
        throw new Error('no');
      });
      expect((await failureOf(failing)).message).to.equal('no');
      expect(await store.get(things, 'a')).to.deep.equal({ id: 'a', revision: 1, value: thing() });
    });
  });

  describe('read, change and write again', () => {
    it('1,000 times at 20 a time loses nothing', async () => {
      await store.write([insert(counters, 'c', { count: 0 })]);
      const worker = async () => {
        for (let turn = 0; turn < 50; turn += 1) await increment(store, 'c');
      };
      await Promise.all(Array.from({ length: 20 }, worker));
      expect(await store.get(counters, 'c')).to.deep.equal({
        id: 'c',
        revision: 1001,
        value: { count: 1000 },
      });
    });

    it(`${writers} at once all succeed, and nothing is lost`, async () => {
      await store.write([insert(counters, 'c', { count: 0 })]);
      await Promise.all(Array.from({ length: writers }, () => increment(store, 'c')));
      expect(await store.get(counters, 'c')).to.deep.equal({
        id: 'c',
        revision: writers + 1,
        value: { count: writers },
      });
    }).timeout(400_000);
  });
}
