/**
 * One page over any ordered source: it shows whether there is more, and one extra row shows whether there is something
 * before.
 */
import type { PageKey } from './cursor.js';
import type { PageResult } from './pagination.js';

export interface KeysetQuery {
  after?: (string | number | null)[];
  inclusive?: boolean;
  descending?: boolean;
  /** The rows must be reversed once they are found. */
  reversed?: boolean;
  limit: number;
}

export interface KeysetSlice {
  /** Whether more rows follow in the direction of the query. */
  more: boolean;
  /** Position of the last row found, if the slice has as many rows as requested. */
  last?: (string | number | null)[];
}

/**
 * Fetches the page that begins (or ends) at the key. Rows inserted or removed between two pages neither shift nor
 * repeat others, because a page is found by position and not by number. The previous page contains exactly what the key
 * excluded.
 */
export async function keysetPage<S extends KeysetSlice>(
  key: PageKey | undefined,
  limit: number,
  fetch: (query: KeysetQuery) => Promise<S>,
  descending = false,
): Promise<{ slice: S; pages: PageResult }> {
  const backward = key?.backward === true;
  const start = key === undefined ? {} : { after: key.position, inclusive: key.inclusive === true };
  const slice = await fetch({ ...start, descending: backward !== descending, reversed: backward, limit });
  const onwards: PageKey | undefined =
    slice.more && slice.last !== undefined ? { position: slice.last, backward } : undefined;
  const back = key === undefined ? undefined : await behind(key, descending, fetch);
  const pages: PageResult = {};
  const next = backward ? back : onwards;
  const prev = backward ? onwards : back;
  if (next !== undefined) pages.next = { relation: 'next', key: next, limit };
  if (prev !== undefined) pages.prev = { relation: 'prev', key: prev, limit };
  return { slice, pages };
}

/** The key to what this one excludes, if there is a row. */
async function behind(
  key: PageKey,
  descending: boolean,
  fetch: (query: KeysetQuery) => Promise<KeysetSlice>,
): Promise<PageKey | undefined> {
  const backward = key.backward !== true;
  const inclusive = key.inclusive !== true;
  const { last } = await fetch({
    after: key.position,
    inclusive,
    descending: backward !== descending,
    limit: 1,
  });
  return last === undefined ? undefined : { position: key.position, backward, inclusive };
}
