import Router, { type MatchResult } from '@koa/router';

/**
 * A router that caches the route of a path without parameters: the library tries the patterns of all routes at each
 * request, which is 2 % of the cost of a list. Routes must be registered before the first request. A path that a route
 * spells out belongs to that route alone, whatever its method: `/instances/actions` is no instance.
 */
export class CachingRouter extends Router {
  /** Bounded by the number of routes: paths that match none, or one with parameters, are not cached. */
  readonly #matches = new Map<string, MatchResult>();

  override match(path: string, method: string): MatchResult {
    const key = `${method} ${path}`;
    const known = this.#matches.get(key);
    if (known !== undefined) return known;
    const found = spelledOut(super.match(path, method));
    const fixed = found.path.every(({ paramNames }) => paramNames.length === 0);
    if (found.route && fixed) this.#matches.set(key, found);
    return found;
  }
}

function spelledOut(found: MatchResult): MatchResult {
  const path = found.path.filter(({ paramNames }) => paramNames.length === 0);
  if (path.length === 0 || path.length === found.path.length) return found;
  const pathAndMethod = found.pathAndMethod.filter((layer) => path.includes(layer));
  return { ...found, path, pathAndMethod, route: pathAndMethod.length > 0 };
}
