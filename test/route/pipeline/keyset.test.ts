import { expect } from 'chai';
import fc from 'fast-check';
import { type CollectionSpec, insert, remove } from '../../../src/data/store/port.js';
import { SqliteStore } from '../../../src/data/store/sqlite/sqlite.js';
import { CursorCodec, type PageKey } from '../../../src/route/pipeline/cursor.js';
import { keysetPage } from '../../../src/route/pipeline/keyset.js';

type Thing = Omit<Row, 'id'>;

const things: CollectionSpec<Thing> = {
  name: 'things',
  columns: { rank: 'integer', owner: 'text', marks: 'set' },
  columnsOf: (_id, { rank, owner, marks }) => ({ rank, owner, marks }),
  present: (id, thing) => ({ id, ...thing }),
  orders: { id: [], rank: ['rank'] },
  indexes: [['owner', 'rank']],
};

interface Row {
  id: string;
  rank: number;
  owner: string;
  marks: string[];
}

/** How a list is asked for, all the way. */
interface Asked {
  order: keyof typeof orders;
  descending: boolean;
  filter?: { owner: string[] };
  has?: { marks: string[] };
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
  owner: fc.constantFrom('x', 'y', 'z'),
  marks: fc.subarray(['red', 'green']),
});
const rows = fc.uniqueArray(row, { selector: (one) => one.id, maxLength: 25 });
const step: fc.Arbitrary<Step> = fc.record({
  limit: fc.integer({ min: 1, max: 4 }),
  inserts: fc.uniqueArray(row, { selector: (one) => one.id, maxLength: 3 }),
  deletes: fc.array(fc.nat({ max: 30 }), { maxLength: 4 }),
});
const orders = { id: (one: Row) => one.id, rank: (one: Row) => `${one.rank} ${one.id}` };
const asked: fc.Arbitrary<Asked> = fc.record(
  {
    order: fc.constantFrom<keyof typeof orders>('id', 'rank'),
    descending: fc.boolean(),
    filter: fc.record({ owner: fc.subarray(['x', 'y', 'z'], { minLength: 1 }) }),
    has: fc.record({ marks: fc.subarray(['red', 'green'], { minLength: 1 }) }),
  },
  { requiredKeys: ['order', 'descending'] },
);
const byId: Asked = { order: 'id', descending: false };
const plain = (id: string): Row => ({ id, rank: 0, owner: 'x', marks: [] });

/** Whether the row belongs to the list. */
function listed({ filter, has }: Asked, { owner, marks }: Row): boolean {
  return (
    (filter?.owner.includes(owner) ?? true) && (has?.marks.every((mark) => marks.includes(mark)) ?? true)
  );
}

class Table {
  readonly #store = new SqliteStore(':memory:', [things]);
  readonly #codec = new CursorCodec(Buffer.alloc(32));
  readonly asked: Asked;
  readonly present = new Map<string, Row>();

  constructor(how: Asked) {
    this.asked = how;
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  async insert(one: Row): Promise<void> {
    if (this.present.has(one.id)) return;
    const { id, ...thing } = one;
    await this.#store.write([insert(things, id, thing)]);
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
    const { descending, ...how } = this.asked;
    const page = await keysetPage(
      key,
      limit,
      (query) => this.#store.pageTexts(things, { ...how, ...query }),
      descending,
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

/**
 * Rows of the list that were there at the beginning and at the end were shown once; nothing was shown twice, out of order or
 * against the filters.
 */
function judge(shown: readonly Row[], before: ReadonlyMap<string, Row>, table: Table): void {
  const { asked: how } = table;
  const survivors = [...before.values()].filter(
    (one) => table.present.get(one.id) === one && listed(how, one),
  );
  expect(shown.filter((one) => !listed(how, one))).to.deep.equal([]);
  const ids = shown.map((one) => one.id);
  for (const one of survivors)
    expect(
      ids.filter((id) => id === one.id),
      `${one.id} in ${ids.join(' ')}`,
    ).to.have.length(1);
  const keys = shown.map(orders[how.order]);
  expect(strictlyAscending(how.descending ? keys.toReversed() : keys), keys.join(', ')).to.be.true;
}

async function withTable(
  how: Asked,
  first: readonly Row[],
  work: (table: Table) => Promise<void>,
): Promise<void> {
  const table = new Table(how);
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
      fc.asyncProperty(asked, rows, fc.array(step, { maxLength: 12 }), (how, first, steps) =>
        withTable(how, first, async (table) => {
          const before = new Map(table.present);
          const start = await table.page(undefined, steps[0]?.limit ?? 2);
          const pages = await walk(table, start, 'next', steps);
          judge(
            pages.flatMap((page) => page.rows),
            before,
            table,
          );
        }),
      ),
      { numRuns: 300 },
    );
  });

  it('backwards from the last page neither skips nor repeats a row that lives through it', async () => {
    await fc.assert(
      fc.asyncProperty(asked, rows, fc.array(step, { maxLength: 12 }), (how, first, steps) =>
        withTable(how, first, async (table) => {
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
          );
        }),
      ),
      { numRuns: 300 },
    );
  });

  it('there and back again over resting rows shows the same pages', async () => {
    await fc.assert(
      fc.asyncProperty(asked, rows, fc.integer({ min: 1, max: 5 }), (how, first, limit) =>
        withTable(how, first, async (table) => {
          const there: WalkPage[] = [await table.page(undefined, limit)];
          for (let key = there[0]?.next; key !== undefined; key = there.at(-1)?.next)
            there.push(await table.page(key, limit));
          const all = [...table.present.values()].filter((one) => listed(how, one));
          const keys = all.map(orders[how.order]).sort();
          expect(there.flatMap((page) => page.rows.map(orders[how.order]))).to.deep.equal(
            how.descending ? keys.toReversed() : keys,
          );
          expect(there.slice(0, -1).every((page) => page.rows.length === limit)).to.be.true;
          const back: WalkPage[] = there.slice(-1);
          for (let key = back[0]?.prev; key !== undefined; key = back.at(-1)?.prev)
            back.push(await table.page(key, limit));
          expect(back.reverse().map((page) => page.rows)).to.deep.equal(there.map((page) => page.rows));
        }),
      ),
      { numRuns: 120 },
    );
  });

  it('goes on behind the row that its key names when that row is gone', async () => {
    await withTable(byId, ['a', 'b', 'c', 'd', 'e'].map(plain), async (table) => {
      const first = await table.page(undefined, 2);
      await table.delete(1);
      const second = await table.page(first.next, 2);
      expect(second.rows.map((one) => one.id)).to.deep.equal(['c', 'd']);
      const back = await table.page(second.prev, 2);
      expect(back.rows.map((one) => one.id)).to.deep.equal(['a']);
    });
  });

  it('finds its way back from a page that has become empty', async () => {
    await withTable(byId, ['a', 'b', 'c'].map(plain), async (table) => {
      const first = await table.page(undefined, 2);
      await table.delete(2);
      const second = await table.page(first.next, 2);
      expect(second.rows).to.deep.equal([]);
      expect(second.next).to.be.undefined;
      const back = await table.page(second.prev, 2);
      expect(back.rows.map((one) => one.id)).to.deep.equal(['a', 'b']);
    });
  });

  it('has no page beside the only one, nor beside none', async () => {
    await withTable(byId, [plain('a')], async (table) => {
      expect(await table.page(undefined, 1)).to.deep.equal({
        rows: [plain('a')],
        next: undefined,
        prev: undefined,
      });
      await table.delete(0);
      expect(await table.page(undefined, 1)).to.deep.equal({ rows: [], next: undefined, prev: undefined });
    });
  });
});
