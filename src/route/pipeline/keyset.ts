/** One page over any ordered source: n+1 rows tell whether there is more, one row whether there is something before. */
import type { PageKey } from './cursor.js';
import type { PageResult } from './pagination.js';

export interface KeysetRow {
  position: (string | number | null)[];
}

export interface KeysetQuery {
  after?: (string | number | null)[];
  inclusive?: boolean;
  descending?: boolean;
  limit: number;
}

/**
 * Fetches the page that begins (or ends) at the key. Rows inserted or removed between two pages neither shift nor
 * repeat others, because a page is found by position and not by number.
 */
export async function keysetPage<R extends KeysetRow>(
  key: PageKey | undefined,
  limit: number,
  fetch: (query: KeysetQuery) => Promise<R[]>,
  descending = false,
): Promise<{ rows: R[]; pages: PageResult }> {
  const backward = key?.backward === true;
  const start = key === undefined ? {} : { after: key.position, inclusive: key.inclusive === true };
  const found = await fetch({ ...start, descending: backward !== descending, limit: limit + 1 });
  const more = found.length > limit;
  const rows = found.slice(0, limit);
  const edges = { near: rows[0]?.position, far: rows.at(-1)?.position };
  if (backward) rows.reverse();

  const onwards: PageKey | undefined =
    more && edges.far !== undefined ? { position: edges.far, backward } : undefined;
  const back = key === undefined ? undefined : await behind(key, edges.near, { backward, descending }, fetch);
  const pages: PageResult = {};
  const next = backward ? back : onwards;
  const prev = backward ? onwards : back;
  if (next !== undefined) pages.next = { relation: 'next', key: next, limit };
  if (prev !== undefined) pages.prev = { relation: 'prev', key: prev, limit };
  return { rows, pages };
}

/** The key back to where the walk came from, if a row is there. */
async function behind<R extends KeysetRow>(
  key: PageKey,
  near: (string | number | null)[] | undefined,
  { backward, descending }: { backward: boolean; descending: boolean },
  fetch: (query: KeysetQuery) => Promise<R[]>,
): Promise<PageKey | undefined> {
  // An empty page lies between two rows: what its key excluded is the way back.
  const position = near ?? key.position;
  const inclusive = near === undefined && key.inclusive !== true;
  const [row] = await fetch({ after: position, inclusive, descending: backward === descending, limit: 1 });
  return row === undefined ? undefined : { position, backward: !backward, inclusive };
}
