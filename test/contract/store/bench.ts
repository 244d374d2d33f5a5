/** What the store contract is tried on: two collections that use every kind of declaration. */
import { schema } from '../../../src/data/migration/schema.js';
import {
  type CollectionSpec,
  type PageQuery,
  replace,
  type Scalar,
  type Store,
  StoreConflict,
} from '../../../src/data/store/port.js';
import { retrying } from '../../../src/data/store/retry.js';
import { failureOf } from '../../support/eventually.js';

export interface Thing {
  group: string | null;
  name: string;
  rank: number;
  tags: string[];
  /** Stands outside the unique key when it is null. */
  serial?: string | null;
  payload?: unknown;
}

export const things: CollectionSpec<Thing> = {
  name: 'things',
  columns: { group_id: 'text', name: 'text', rank: 'integer', serial: 'text', tags: 'set' },
  loggedBy: 'group_id',
  columnsOf: (_id, thing) => ({
    group_id: thing.group,
    name: thing.name,
    rank: thing.rank,
    serial: thing.serial ?? null,
    tags: thing.tags,
  }),
  present: (id, { name, rank, payload }) => ({ id, name, rank, payload }),
  unique: { name: ['group_id', 'name'], serial: ['serial'] },
  orders: { id: [], rank: ['rank'], group: ['group_id', 'rank'] },
  indexes: [['group_id', 'rank']],
};

export const counters: CollectionSpec<{ count: number }> = {
  name: 'counters',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

export const collections = [schema, things, counters] as CollectionSpec<never>[];

/** One place that stores can be opened on. */
export interface StoreFixture {
  /** Every call opens one more store: on the same data where the engine can share it, else on empty fixture. */
  open(): Promise<Store>;
  /** Removes what is left when all stores are closed. */
  clear(): Promise<void>;
}

export function thing(change: Partial<Thing> = {}): Thing {
  return { group: 'g', name: 'n', rank: 0, tags: [], ...change };
}

/** The conflict that the work fails with. */
export async function conflictOf(work: Promise<unknown>): Promise<StoreConflict> {
  const error = await failureOf(work);
  if (error instanceof StoreConflict) return error;
  throw error;
}

/** The public documents of all rows of a query, page by page. */
export async function allTexts(
  store: Store,
  query: Omit<PageQuery, 'after' | 'limit'>,
  limit: number,
): Promise<{ id: string }[]> {
  const rows: { id: string }[] = [];
  for (let after: Scalar[] | undefined; ;) {
    const page = await store.pageTexts(things, {
      ...query,
      limit,
      ...(after === undefined ? {} : { after }),
    });
    rows.push(...(JSON.parse(page.body.toString()) as { id: string }[]));
    if (!page.more) return rows;
    after = page.last;
  }
}

/** Adds one to a counter, however many others do so at the same time. */
export function increment(store: Store, id: string): Promise<void> {
  return retrying(async () => {
    const found = await store.get(counters, id);
    if (found === undefined) throw new Error('the counter is not there');
    await store.write([replace(counters, found, { count: found.value.count + 1 })]);
  });
}
