/** Walks over a real list, by its links, while instances are made and deleted. */
import { expect } from 'chai';
import fc from 'fast-check';
import type { Instance } from '../../../src/model/instance.js';
import { parsePaginationHeader } from '../../../src/route/pipeline/pagination.js';
import { startServer, type TestServer } from '../../support/server.js';

/** What happens before a page is fetched, and how large that page may be. */
interface Step {
  limit: number;
  inserts: number[];
  deletes: number[];
}

const names = (max: number) => fc.uniqueArray(fc.integer({ min: 0, max: 99 }), { maxLength: max });
const step: fc.Arbitrary<Step> = fc.record({
  limit: fc.integer({ min: 1, max: 4 }),
  inserts: names(2),
  deletes: fc.array(fc.nat({ max: 20 }), { maxLength: 1 }),
});

/** Each order, and what it compares; ties are in id order. */
const orders: Record<string, (row: Instance['metadata']) => string> = {
  name: ({ name }) => name,
  creationTime: ({ id }) => id,
  modifiedTime: ({ id, creationTime, modifiedTime = creationTime }) => `${modifiedTime} ${id}`,
};

describe('a walk over the instances in some order', () => {
  let server: TestServer;
  let runs = 0;

  before(async () => {
    server = await startServer({ flags: { limits: { requests: 0 } } });
  });
  after(() => server.stop());

  /** The instances of one run, told from those of others by a tag, and again from each other by another. */
  class Run {
    readonly #number = (runs += 1);
    readonly #names = new Set<number>();
    /** Those that nobody wishes away, by id. */
    readonly living = new Map<string, string>();
    /** Since then nothing is modified: it would move behind the walk, or before it. */
    #begun = false;

    async insert(n: number): Promise<void> {
      if (this.#names.has(n)) return;
      this.#names.add(n);
      const name = `run-${this.#number}-${String(n).padStart(2, '0')}`;
      const tags = [
        { name: 'run', value: String(this.#number) },
        { name: 'half', value: n % 2 === 0 ? 'even' : 'odd' },
      ];
      const { metadata } = await server.createInstance(name, { metadata: { tags } });
      // So that the order of modification is another one than that of creation.
      for (const [index, id] of [...this.living.keys()].entries()) {
        if (this.#begun || index % 3 !== 0) continue;
        await server.admin.patch(`/api/v2/instances/${id}`, { metadata: { description: name } });
      }
      // Those of the other half are only there to be in the way.
      if (n % 2 === 0) this.living.set(metadata.id, name);
    }

    async change({ inserts, deletes }: Step): Promise<void> {
      for (const n of inserts) await this.insert(n);
      for (const index of deletes) {
        const id = [...this.living.keys()][index];
        if (id === undefined) continue;
        this.living.delete(id);
        await server.admin.delete(`/api/v2/instances/${id}`);
      }
    }

    first(sort: string, descending: boolean, limit: number): string {
      this.#begun = true;
      const tags = `tag=${encodeURIComponent(`run=${this.#number}`)}&tag=half%3Deven`;
      return `/api/v2/instances?sort=${sort}&descending=${descending}&${tags}&limit=${limit}`;
    }
  }

  async function page(url: string) {
    const { headers, body } = await server.admin.get<Instance[]>(url);
    return { rows: body.map(({ metadata }) => metadata), links: parsePaginationHeader(headers.get('link')) };
  }

  type Page = Awaited<ReturnType<typeof page>>;

  /** Follows one relation to its end, and gives the rows of every page in the order in which they were shown. */
  async function walk(run: Run, start: Page, relation: 'next' | 'prev', steps: readonly Step[]) {
    const pages = [start];
    for (let count = 0; ; count += 1) {
      const link = pages.at(-1)?.links[relation];
      if (link === undefined) return pages;
      expect(count, 'pages').to.be.below(100);
      const now = steps[count] ?? { limit: 3, inserts: [], deletes: [] };
      await run.change(now);
      pages.push(await page(link.url.replace(/limit=\d+/, `limit=${now.limit}`)));
    }
  }

  function judge(
    pages: readonly Page[],
    before: ReadonlyMap<string, string>,
    run: Run,
    sort: string,
    descending: boolean,
  ) {
    const shown = pages.flatMap(({ rows }) => rows);
    const ids = shown.map(({ id }) => id);
    expect(new Set(ids).size, 'nothing twice').to.equal(ids.length);
    const lived = [...before.keys()].filter((id) => run.living.has(id));
    expect(ids, 'all that lived through it').to.include.members(lived);
    const compared = shown.map((row) => orders[sort]?.(row));
    const inOrder = compared.toSorted();
    expect(compared).to.deep.equal(descending ? inOrder.toReversed() : inOrder);
  }

  it('neither skips nor repeats one that lives through it, in either direction, there and back', async () => {
    const steps = fc.array(step, { minLength: 4, maxLength: 8 });
    const order = fc.tuple(fc.constantFrom(...Object.keys(orders)), fc.boolean());
    await fc.assert(
      fc.asyncProperty(order, names(14), steps, steps, async ([sort, descending], first, there, back) => {
        const run = new Run();
        for (const n of first) await run.insert(n);
        let before = new Map(run.living);
        const start = await page(run.first(sort, descending, there[0]?.limit ?? 2));
        const forward = await walk(run, start, 'next', there);
        judge(forward, before, run, sort, descending);
        before = new Map(run.living);
        const last = forward.at(-1) ?? start;
        const behind = new Set(forward.slice(0, -1).flatMap(({ rows }) => rows.map(({ id }) => id)));
        const backward = await walk(run, last, 'prev', back);
        // What came behind the last page since, or is no longer before it, is not on the way back.
        const onTheWay = new Map([...before].filter(([id]) => behind.has(id)));
        judge(backward.toReversed(), onTheWay, run, sort, descending);
      }),
      { numRuns: 15 },
    );
  }).timeout(60_000);
});
