/** Pages of a list that is part of one document, and so is at hand as a whole. */
import type { ListPage, Scalar, TextPage } from './store/port.js';

function compared(one: readonly Scalar[], other: readonly Scalar[]): number {
  for (const [at, value] of one.entries()) {
    const against = other[at] ?? null;
    if (value === against || value === null || against === null) continue;
    return value < against ? -1 : 1;
  }
  return 0;
}

/** `positionOf`: what the items are ordered by, different for each. */
export function arrayPage<T>(
  items: readonly T[],
  positionOf: (item: T) => Scalar[],
  { after, inclusive, descending, reversed, limit }: ListPage,
): TextPage {
  const sign = descending === true ? -1 : 1;
  const ordered = [...items].sort((one, other) => sign * compared(positionOf(one), positionOf(other)));
  const rest = ordered.filter((item) => {
    if (after === undefined) return true;
    const order = sign * compared(positionOf(item), after);
    return order > 0 || (order === 0 && inclusive === true);
  });
  const shown = rest.slice(0, limit);
  const last = shown.length === limit ? shown.at(-1) : undefined;
  if (reversed === true) shown.reverse();
  return {
    body: Buffer.from(JSON.stringify(shown)),
    more: rest.length > limit,
    ...(last === undefined ? {} : { last: positionOf(last) }),
  };
}
