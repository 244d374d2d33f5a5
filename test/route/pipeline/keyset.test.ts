import { expect } from 'chai';
import fc from 'fast-check';
import { type CollectionSpec, insert, remove } from '../../../src/data/store/port.js';
import { SqliteStore } from '../../../src/data/store/sqlite/sqlite.js';
import { CursorCodec, type PageKey } from '../../../src/route/pipeline/cursor.js';
import { keysetPage } from '../../../src/route/pipeline/keyset.js';

const things: CollectionSpec<{ rank: number }> = {
  name: 'things',
  columns: { rank: 'integer' },
  columnsOf: (_id, thing) => ({ rank: thing.rank }),
  present: (id, thing) => ({ id, rank: thing.rank }),
  orders: { id: [], rank: ['rank'] },
};

interface Row {
  id: string;
  rank: number;
}

/** What happens to the rows before a page is fetched, and how large that page may be. */
interface Step {
  limit: number;
  inserts: Row[];
  deletes: number[];
}

interface WalkPage {
  rows: Row[];
  next: string | undefined;
  prev: string | undefined;
}

/** Few ids and few ranks, so that deletes meet what pages point at and orders have ties. */
const row = fc.record({
  id: fc.integer({ min: 0, max: 60 }).map((n) => `id-${n}`),
  rank: fc.integer({ min: 0, max: 4 }),
});
const rows = fc.uniqueArray(row, { selector: (one) => one.id, maxLength: 25 });
const step: fc.Arbitrary<Step> = fc.record({
  limit: fc.integer({ min: 1, max: 4 }),
  inserts: fc.uniqueArray(row, { selector: (one) => one.id, maxLength: 3 }),
  deletes: fc.array(fc.nat({ max: 30 }), { maxLength: 4 }),
});
const orders = { id: (one: Row) => one.id, rank: (one: Row) => `${one.rank} ${one.id}` };
const order = fc.constantFrom<keyof typeof orders>('id', 'rank');

class Table {
  readonly #store = new SqliteStore(':memory:', [things]);
  readonly #codec = new CursorCodec(Buffer.alloc(32));
  readonly #order: keyof typeof orders;
  readonly present = new Map<string, Row>();

  constructor(by: keyof typeof orders) {
    this.#order = by;
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  async insert(one: Row): Promise<void> {
    if (this.present.has(one.id)) return;
    await this.#store.write([insert(things, one.id, { rank: one.rank })]);
    this.present.set(one.id, one);
  }

  async delete(index: number): Promise<void> {
    const id = [...this.present.keys()][index];
    const found = id === undefined ? undefined : await this.#store.get(things, id);
    if (id === undefined || found === undefined) return;
    await this.#store.write([remove(things, found)]);
    this.present.delete(id);
  }

  async change({ inserts, deletes }: Step): Promise<void> {
    for (const one of inserts) await this.insert(one);
    for (const index of deletes) await this.delete(index);
  }

  async page(text: string | undefined, limit: number): Promise<WalkPage> {
    const key = text === undefined ? undefined : this.#codec.decode(text, '');
    const page = await keysetPage(key, limit, (query) =>
      this.#store.pageTexts(things, { ...query, order: this.#order }),
    );
    const link = (beside: { key: PageKey } | undefined) =>
      beside === undefined ? undefined : this.#codec.encode(beside.key, '');
    const found = JSON.parse(page.slice.body.toString()) as Row[];
    return { rows: found, next: link(page.pages.next), prev: link(page.pages.prev) };
  }
}

const idle: Step = { limit: 3, inserts: [], deletes: [] };

/** Follows one relation to its end while rows come and go, and gives every page that was shown. */
async function walk(
  table: Table,
  start: WalkPage,
  relation: 'next' | 'prev',
  steps: readonly Step[],
): Promise<WalkPage[]> {
  const pages = [start];
  for (let count = 0; count < 200; count += 1) {
    const key = pages.at(-1)?.[relation];
    if (key === undefined) return pages;
    const now = steps[count] ?? idle;
    await table.change(now);
    pages.push(await table.page(key, now.limit));
  }
  throw new Error('the walk has no end');
}

function strictlyAscending(texts: readonly string[]): boolean {
  return texts.every((text, index) => index === 0 || text > (texts[index - 1] ?? ''));
}

/** Rows that were there at the beginning and at the end were shown once, and nothing was shown twice or out of order. */
function judge(
  shown: readonly Row[],
  before: ReadonlyMap<string, Row>,
  table: Table,
  key: (one: Row) => string,
): void {
  const survivors = [...before.values()].filter((one) => table.present.get(one.id) === one);
  const ids = shown.map((one) => one.id);
  for (const one of survivors)
    expect(
      ids.filter((id) => id === one.id),
      `${one.id} in ${ids.join(' ')}`,
    ).to.have.length(1);
  expect(strictlyAscending(shown.map(key)), shown.map(key).join(', ')).to.be.true;
}

async function withTable(
  by: keyof typeof orders,
  first: readonly Row[],
  work: (table: Table) => Promise<void>,
): Promise<void> {
  const table = new Table(by);
  try {
    for (const one of first) await table.insert(one);
    await work(table);
  } finally {
    await table.close();
  }
}

describe('a walk by pages', () => {
  it('forwards neither skips nor repeats a row that lives through it', async () => {
    await fc.assert(
      fc.asyncProperty(order, rows, fc.array(step, { maxLength: 12 }), (by, first, steps) =>
        withTable(by, first, async (table) => {
          const before = new Map(table.present);
          const start = await table.page(undefined, steps[0]?.limit ?? 2);
          const pages = await walk(table, start, 'next', steps);
          judge(
            pages.flatMap((page) => page.rows),
            before,
            table,
            orders[by],
          );
        }),
      ),
      { numRuns: 150 },
    );
  });

  it('backwards from the last page neither skips nor repeats a row that lives through it', async () => {
    await fc.assert(
      fc.asyncProperty(order, rows, fc.array(step, { maxLength: 12 }), (by, first, steps) =>
        withTable(by, first, async (table) => {
          const forward = await walk(table, await table.page(undefined, 3), 'next', []);
          const before = new Map(table.present);
          const pages = await walk(
            table,
            forward.at(-1) ?? { rows: [], next: undefined, prev: undefined },
            'prev',
            steps,
          );
          judge(
            pages.reverse().flatMap((page) => page.rows),
            before,
            table,
            orders[by],
          );
        }),
      ),
      { numRuns: 150 },
    );
  });

  it('there and back again over resting rows shows the same pages', async () => {
    await fc.assert(
      fc.asyncProperty(order, rows, fc.integer({ min: 1, max: 5 }), (by, first, limit) =>
        withTable(by, first, async (table) => {
          const there: WalkPage[] = [await table.page(undefined, limit)];
          for (let key = there[0]?.next; key !== undefined; key = there.at(-1)?.next)
            there.push(await table.page(key, limit));
          expect(there.flatMap((page) => page.rows.map(orders[by]))).to.deep.equal(
            [...table.present.values()].map(orders[by]).sort(),
          );
          expect(there.slice(0, -1).every((page) => page.rows.length === limit)).to.be.true;
          const back: WalkPage[] = there.slice(-1);
          for (let key = back[0]?.prev; key !== undefined; key = back.at(-1)?.prev)
            back.push(await table.page(key, limit));
          expect(back.reverse().map((page) => page.rows)).to.deep.equal(there.map((page) => page.rows));
        }),
      ),
      { numRuns: 60 },
    );
  });

  it('goes on behind the row that its key names when that row is gone', async () => {
    await withTable(
      'id',
      ['a', 'b', 'c', 'd', 'e'].map((id) => ({ id, rank: 0 })),
      async (table) => {
        const first = await table.page(undefined, 2);
        await table.delete(1);
        const second = await table.page(first.next, 2);
        expect(second.rows.map((one) => one.id)).to.deep.equal(['c', 'd']);
        const back = await table.page(second.prev, 2);
        expect(back.rows.map((one) => one.id)).to.deep.equal(['a']);
      },
    );
  });

  it('finds its way back from a page that has become empty', async () => {
    await withTable(
      'id',
      ['a', 'b', 'c'].map((id) => ({ id, rank: 0 })),
      async (table) => {
        const first = await table.page(undefined, 2);
        await table.delete(2);
        const second = await table.page(first.next, 2);
        expect(second.rows).to.deep.equal([]);
        expect(second.next).to.be.undefined;
        const back = await table.page(second.prev, 2);
        expect(back.rows.map((one) => one.id)).to.deep.equal(['a', 'b']);
      },
    );
  });

  it('has no page beside the only one, nor beside none', async () => {
    await withTable('id', [{ id: 'a', rank: 0 }], async (table) => {
      expect(await table.page(undefined, 1)).to.deep.equal({
        rows: [{ id: 'a', rank: 0 }],
        next: undefined,
        prev: undefined,
      });
      await table.delete(0);
      expect(await table.page(undefined, 1)).to.deep.equal({ rows: [], next: undefined, prev: undefined });
    });
  });
});
