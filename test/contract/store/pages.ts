/** The part of the store contract about pages, filters and counts. */
import { expect } from 'chai';
import fc from 'fast-check';
import {
  insert,
  type PageQuery,
  remove,
  replace,
  type Store,
  type TextQuery,
} from '../../../src/data/store/port.js';
import { failureOf } from '../../support/eventually.js';
import { allTexts, type StoreFixture, type Thing, thing, things } from './bench.js';

interface Act {
  kind: 'insert' | 'replace' | 'remove';
  id: number;
  rank: number;
  group: number;
  tags: string[];
}

const act: fc.Arbitrary<Act> = fc.record({
  kind: fc.constantFrom('insert', 'insert', 'replace', 'remove'),
  id: fc.integer({ min: 0, max: 30 }),
  rank: fc.integer({ min: -2, max: 2 }),
  group: fc.integer({ min: 0, max: 2 }),
  tags: fc.subarray(['red', 'green', 'blue']),
});

export function pageContract(makeFixture: () => StoreFixture): void {
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

  const seed = (rows: [string, Partial<Thing>][]) =>
    store.write(rows.map(([id, change]) => insert(things, id, thing({ name: id, ...change }))));
  const ids = async (query: Partial<PageQuery> = {}) =>
    (await store.page(things, { order: 'id', limit: 100, ...query })).map((document) => document.id);

  describe('a page', () => {
    it('comes in the order of the id, in both directions, and ends at its limit', async () => {
      await seed(['c', 'a', 'd', 'b'].map((id) => [id, {}]));
      expect(await ids()).to.deep.equal(['a', 'b', 'c', 'd']);
      expect(await ids({ descending: true })).to.deep.equal(['d', 'c', 'b', 'a']);
      expect(await ids({ limit: 2 })).to.deep.equal(['a', 'b']);
      expect(await ids({ limit: 2, descending: true })).to.deep.equal(['d', 'c']);
    });

    it('begins behind a position, or with it, whether there is such a row or not', async () => {
      await seed(['a', 'c', 'e'].map((id) => [id, {}]));
      expect(await ids({ after: ['c'] })).to.deep.equal(['e']);
      expect(await ids({ after: ['c'], inclusive: true })).to.deep.equal(['c', 'e']);
      expect(await ids({ after: ['b'] })).to.deep.equal(['c', 'e']);
      expect(await ids({ after: ['b'], inclusive: true })).to.deep.equal(['c', 'e']);
      expect(await ids({ after: ['c'], descending: true })).to.deep.equal(['a']);
      expect(await ids({ after: ['c'], descending: true, inclusive: true })).to.deep.equal(['c', 'a']);
      expect(await ids({ after: ['z'] })).to.deep.equal([]);
      expect(await ids({ after: [''] })).to.deep.equal(['a', 'c', 'e']);
    });

    it('of a span has what lies from its first value on and before its second, in both directions', async () => {
      await seed(['a', 'b', 'c', 'd', 'e'].map((id, rank) => [id, { rank }]));
      expect(await ids({ span: { column: 'id', from: 'b', before: 'd' } })).to.deep.equal(['b', 'c']);
      expect(await ids({ span: { column: 'id', from: 'bb' }, descending: true })).to.deep.equal([
        'e',
        'd',
        'c',
      ]);
      expect(await ids({ span: { column: 'rank', before: 2 }, order: 'rank' })).to.deep.equal(['a', 'b']);
      expect(await ids({ span: { column: 'rank', from: 3, before: 3 } })).to.deep.equal([]);
      const span = { column: 'rank', from: 1, before: 4 };
      expect(await ids({ span, order: 'rank', after: [1, 'b'] })).to.deep.equal(['c', 'd']);
      const back = { span, order: 'rank', descending: true };
      expect(await ids(back)).to.deep.equal(['d', 'c', 'b']);
      expect(await ids({ ...back, after: [2, 'c'] })).to.deep.equal(['b']);
      expect(await ids({ ...back, after: [9, 'z'] })).to.deep.equal(['d', 'c', 'b']);
      expect(await ids({ ...back, filter: { rank: [2, 4] } })).to.deep.equal(['c']);
      expect(await ids({ order: 'rank', span: { column: 'rank', from: 0.5, before: 2.5 } })).to.deep.equal([
        'b',
        'c',
      ]);
      expect(
        await ids({ order: 'rank', span: { column: 'rank', from: -1e300, before: 1e300 } }),
      ).to.have.length(5);
      expect(await store.count(things, { span })).to.equal(3);
      expect(await store.count(things, { span, filter: { name: ['a', 'c'] } })).to.equal(1);
      const page = await store.pageTexts(things, { span, order: 'id', limit: 2 });
      expect(page).to.deep.include({ more: true, last: ['c'] });
      expect(
        (await failureOf(store.page(things, { order: 'id', limit: 1, span: { column: 'x' } }))).message,
      ).to.include('x');
    });

    it('of several spans has what lies in all of them, also with a set, and is counted up to a limit', async () => {
      await seed(
        ['a', 'b', 'c', 'd', 'e', 'f'].map((id, rank) => [id, { rank, tags: rank === 2 ? [] : ['red'] }]),
      );
      const span = [
        { column: 'id', from: 'b', before: 'f' },
        { column: 'rank', from: 2, before: 5 },
      ];
      const has = { tags: ['red'] };
      for (const order of ['id', 'rank']) {
        expect(await ids({ span, order }), order).to.deep.equal(['c', 'd', 'e']);
        expect(await ids({ span, order, descending: true }), order).to.deep.equal(['e', 'd', 'c']);
        expect(await ids({ span, order, has }), order).to.deep.equal(['d', 'e']);
        const several = { group_id: ['g', 'h'] };
        expect(await ids({ span, order, filter: several }), order).to.deep.equal(['c', 'd', 'e']);
      }
      expect(await ids({ span: { column: 'id', from: 'd' }, order: 'id', has })).to.deep.equal([
        'd',
        'e',
        'f',
      ]);
      expect(await store.count(things, { span, has })).to.equal(2);
      expect(await store.count(things, { atMost: 4 })).to.equal(4);
      expect(await store.count(things, { atMost: 40 })).to.equal(6);
      expect(await store.count(things, { span, atMost: 2 })).to.equal(2);
    });

    it('of a span of texts compares them by code point, as its order does', async () => {
      const groups = ['', '\u0000', 'a', 'a\u0000', 'a\u0000b', 'ab', 'b'];
      await seed(groups.map((group, index) => [`id-${index}`, { group, rank: 9 - index }]));
      for (const [first, from] of groups.entries()) {
        for (const [end, before] of groups.entries()) {
          const wanted = groups.slice(first, end).map((_, index) => `id-${first + index}`);
          const span = { column: 'group_id', from, before };
          expect(await ids({ order: 'group', span }), JSON.stringify(span)).to.deep.equal(wanted);
        }
      }
    });

    it('by a column breaks ties by the id, in both directions and from any position', async () => {
      await seed([
        ['a', { rank: 2 }],
        ['b', { rank: 1 }],
        ['c', { rank: 2 }],
        ['d', { rank: 1 }],
        ['e', { rank: -1 }],
      ]);
      expect(await ids({ order: 'rank' })).to.deep.equal(['e', 'b', 'd', 'a', 'c']);
      expect(await ids({ order: 'rank', descending: true })).to.deep.equal(['c', 'a', 'd', 'b', 'e']);
      expect(await ids({ order: 'rank', after: [1, 'b'] })).to.deep.equal(['d', 'a', 'c']);
      expect(await ids({ order: 'rank', after: [1, 'd'], inclusive: true })).to.deep.equal(['d', 'a', 'c']);
      expect(await ids({ order: 'rank', after: [2, 'a'], descending: true })).to.deep.equal(['d', 'b', 'e']);
      expect(await ids({ order: 'rank', after: [1, ''] })).to.deep.equal(['b', 'd', 'a', 'c']);
    });

    it('by two columns compares them one after the other', async () => {
      await seed([
        ['a', { group: 'y', rank: 1 }],
        ['b', { group: 'x', rank: 2 }],
        ['c', { group: 'x', rank: 1 }],
        ['d', { group: 'y', rank: 0 }],
      ]);
      expect(await ids({ order: 'group' })).to.deep.equal(['c', 'b', 'd', 'a']);
      expect(await ids({ order: 'group', after: ['x', 2, 'b'] })).to.deep.equal(['d', 'a']);
    });

    it('compares texts by code point, not by any language', async () => {
      await seed(['b', 'B', 'a', 'ä', 'Z', '1', '10', '9', '_'].map((id) => [id, {}]));
      expect(await ids()).to.deep.equal(['1', '10', '9', 'B', 'Z', '_', 'a', 'b', 'ä']);
    });

    it('gives texts as one JSON array, with the position of the last row of a full page and whether more follow', async () => {
      await seed([
        ['a', { rank: 5 }],
        ['b', { rank: 4 }],
        ['c', { rank: 4 }],
      ]);
      const texts = [
        '{"id":"b","name":"b","rank":4}',
        '{"id":"c","name":"c","rank":4}',
        '{"id":"a","name":"a","rank":5}',
      ];
      const page = async (query: Partial<TextQuery>) => {
        const { body, ...rest } = await store.pageTexts(things, { order: 'rank', limit: 2, ...query });
        return { body: body.toString(), ...rest };
      };
      expect(await page({})).to.deep.equal({ body: `[${texts[0]},${texts[1]}]`, more: true, last: [4, 'c'] });
      expect(await page({ after: [4, 'c'] })).to.deep.equal({ body: `[${texts[2]}]`, more: false });
      expect(await page({ limit: 3 })).to.deep.equal({
        body: `[${texts.join()}]`,
        more: false,
        last: [5, 'a'],
      });
      expect(await page({ after: [5, 'a'] })).to.deep.equal({ body: '[]', more: false });
      const back = { descending: true, reversed: true, after: [5, 'a'] };
      expect(await page(back)).to.deep.equal({
        body: `[${texts[0]},${texts[1]}]`,
        more: false,
        last: [4, 'b'],
      });
      expect(await page({ ...back, limit: 1 })).to.deep.equal({
        body: `[${texts[1]}]`,
        more: true,
        last: [4, 'c'],
      });
    });

    it('of an order or a column that is not declared is a mistake of the caller', async () => {
      expect((await failureOf(store.page(things, { order: 'nonsense', limit: 1 }))).message).to.include(
        'nonsense',
      );
      expect(
        (await failureOf(store.page(things, { order: 'id', filter: { nonsense: 1 }, limit: 1 }))).message,
      ).to.include('nonsense');
      const injected = { 'id" = "id" OR 1=1 --': 'x' };
      await failureOf(store.page(things, { order: 'id', filter: injected, limit: 1 }));
    });
  });

  describe('a filter', () => {
    beforeEach(() =>
      seed([
        ['a', { group: 'x', rank: 1, tags: ['red', 'green'] }],
        ['b', { group: 'x', rank: 2, tags: ['red'] }],
        ['c', { group: 'y', rank: 1, tags: ['green', 'blue'] }],
        ['d', { group: null, rank: 1, tags: [] }],
      ]),
    );

    it('takes one value, or several as alternatives, or none, which finds nothing', async () => {
      expect(await ids({ filter: { group_id: 'x' } })).to.deep.equal(['a', 'b']);
      expect(await ids({ filter: { group_id: ['x', 'y', 'none'] } })).to.deep.equal(['a', 'b', 'c']);
      expect(await ids({ filter: { group_id: [] } })).to.deep.equal([]);
      expect(await ids({ filter: { rank: 1 } })).to.deep.equal(['a', 'c', 'd']);
      expect(await ids({ filter: { id: ['b', 'd'] } })).to.deep.equal(['b', 'd']);
    });

    it('finds null when null is asked for', async () => {
      expect(await ids({ filter: { group_id: null } })).to.deep.equal(['d']);
    });

    it('of several columns must hold altogether', async () => {
      expect(await ids({ filter: { group_id: ['x', 'y'], rank: 1 } })).to.deep.equal(['a', 'c']);
    });

    it('on a set asks for all of the items', async () => {
      expect(await ids({ has: { tags: ['red'] } })).to.deep.equal(['a', 'b']);
      expect(await ids({ has: { tags: ['red', 'green'] } })).to.deep.equal(['a']);
      expect(await ids({ has: { tags: ['red', 'red'] } })).to.deep.equal(['a', 'b']);
      expect(await ids({ has: { tags: ['red', 'blue'] } })).to.deep.equal([]);
      expect(await ids({ has: { tags: [] } })).to.deep.equal(['a', 'b', 'c', 'd']);
    });

    it('goes with order, position, direction and count', async () => {
      expect(
        await ids({ order: 'rank', filter: { group_id: 'x' }, has: { tags: ['red'] }, descending: true }),
      ).to.deep.equal(['b', 'a']);
      expect(await ids({ filter: { rank: 1 }, after: ['a'] })).to.deep.equal(['c', 'd']);
      expect(await store.count(things, { filter: { rank: 1 } })).to.equal(3);
      expect(await store.count(things, { filter: { rank: 1 }, has: { tags: ['green'] } })).to.equal(2);
      expect(await store.count(things, {})).to.equal(4);
    });

    it('follows what a replace and a remove change', async () => {
      const a = await store.get(things, 'a');
      const b = await store.get(things, 'b');
      if (a === undefined || b === undefined) throw new Error('the seed is not there');
      await store.write([replace(things, a, { ...a.value, group: 'y', tags: ['blue'] }), remove(things, b)]);
      expect(await ids({ filter: { group_id: 'x' } })).to.deep.equal([]);
      expect(await ids({ filter: { group_id: 'y' } })).to.deep.equal(['a', 'c']);
      expect(await ids({ has: { tags: ['red'] } })).to.deep.equal([]);
      expect(await ids({ has: { tags: ['blue'] } })).to.deep.equal(['a', 'c']);
    });
  });

  it('after any history holds exactly what a sorted model holds, by every order, filter and page size', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(act, { maxLength: 40 }),
        fc.integer({ min: 1, max: 7 }),
        async (acts, limit) => {
          const own = makeFixture();
          const tried = await own.open();
          try {
            const model = await play(tried, acts);
            await compare(tried, model, limit);
          } finally {
            await tried.close();
            await own.clear();
          }
        },
      ),
      { numRuns: 40 },
    );
  });
}

async function play(store: Store, acts: readonly Act[]): Promise<Map<string, Thing>> {
  const model = new Map<string, Thing>();
  for (const { kind, id: number, rank, group, tags } of acts) {
    const id = `id-${number}`;
    const value = thing({ name: id, group: `g${group}`, rank, tags });
    const present = await store.get(things, id);
    expect(present?.value).to.deep.equal(model.get(id));
    if (kind === 'insert' && present === undefined) {
      await store.write([insert(things, id, value)]);
      model.set(id, value);
    } else if (kind === 'replace' && present !== undefined) {
      await store.write([replace(things, present, value)]);
      model.set(id, value);
    } else if (kind === 'remove' && present !== undefined) {
      await store.write([remove(things, present)]);
      model.delete(id);
    }
  }
  return model;
}

async function compare(store: Store, model: ReadonlyMap<string, Thing>, limit: number): Promise<void> {
  const rows = [...model].map(([id, value]) => ({ id, value }));
  const sortedBy = (order: 'id' | 'rank') =>
    [...rows].sort((a, b) =>
      order === 'rank' && a.value.rank !== b.value.rank ? a.value.rank - b.value.rank : a.id < b.id ? -1 : 1,
    );
  const shown = async (query: Omit<PageQuery, 'after' | 'limit'>) =>
    (await allTexts(store, query, limit)).map((row) => row.id);
  for (const order of ['id', 'rank'] as const) {
    const sorted = sortedBy(order);
    expect(await shown({ order })).to.deep.equal(sorted.map((row) => row.id));
    expect(await shown({ order, descending: true })).to.deep.equal(sorted.map((row) => row.id).reverse());
    const red = sorted.filter((row) => row.value.tags.includes('red') && row.value.group !== 'g0');
    const filter = { filter: { group_id: ['g1', 'g2'] }, has: { tags: ['red'] } };
    expect(await shown({ order, ...filter })).to.deep.equal(red.map((row) => row.id));
    expect(await store.count(things, filter)).to.equal(red.length);
  }
}
