/** The path of a request to a chain: base path / domain / resource / resource id. */
import { ApiError } from '../../model/error.js';

export interface ChainOptions {
  /** Default: `/chains`. The root is not possible beside routes. */
  basePath?: string;
  /** For a path that ends after the base path. Default: `default`. */
  defaultDomain?: string;
  /** For a path that ends after the domain. Default: `default`. */
  defaultResource?: string;
  /** Whether `/favicon.ico` below the base path is answered with nothing. Default: true. */
  ignoreFavicon?: boolean;
}

export function segmentsOf(path: string): string[] {
  return path.split('/').filter((one) => one !== '');
}

/** Throws a TypeError for a name that no path could have. */
export function assertName(what: string, name: unknown): asserts name is string {
  if (typeof name !== 'string' || !/^[^/?#\u0000-\u001f\u007f]+$/.test(name) || /^\.\.?$/.test(name))
    throw new TypeError(`${what} must be one segment of a path, not ${JSON.stringify(name)}`);
}

export function baseOf({ basePath = '/chains' }: ChainOptions): string[] {
  const segments = segmentsOf(basePath);
  if (segments.length === 0)
    throw new TypeError('basePath must have a segment, because routes are beside it');
  for (const segment of segments) assertName('basePath', segment);
  return segments;
}

/** After it has been split: an escaped slash belongs to its segment. */
function decoded(segment: string): string {
  let text: string;
  try {
    text = decodeURIComponent(segment);
  } catch (cause) {
    throw new ApiError('invalid_parameter', 'The path has a broken escape.', { cause });
  }
  if (text === '.' || text === '..' || text.includes('\0'))
    throw new ApiError('invalid_parameter', 'The path has a segment that is ".", ".." or contains NUL.');
  return text;
}

/** The rest of the path below the base; undefined if it is not below it. */
export function belowBase(path: string, base: readonly string[]): string[] | undefined {
  const segments = segmentsOf(path);
  if (segments.length < base.length || base.some((one, at) => segments[at] !== one)) return undefined;
  return segments.slice(base.length).map(decoded);
}

export class JobPath {
  readonly #parts: readonly string[];

  constructor(parts: readonly string[]) {
    this.#parts = parts;
  }

  /** With the defaults, so at least 2. */
  get length(): number {
    return this.#parts.length;
  }

  get hasSubResourceIds(): boolean {
    return this.#parts.length > 3;
  }

  part(index: number): string {
    return this.#parts[index] ?? '';
  }

  get domain(): string {
    return this.part(0);
  }

  get resource(): string {
    return this.part(1);
  }

  /** Only the first one. */
  get resourceId(): string {
    return this.part(2);
  }

  get joinedResourceId(): string {
    return this.#parts.slice(2).join('/');
  }
}

/** The address of a resource, with every part encoded. Throws for what would lead elsewhere. */
export function internalPath(
  base: readonly string[],
  [domain, resource, resourceId = '']: readonly [string, string, string?],
  query: Readonly<Record<string, string | number | boolean>> = {},
): string {
  assertName('domain', domain);
  assertName('resource', resource);
  const ids = resourceId === '' ? [] : resourceId.split('/');
  for (const id of ids)
    if (id === '' || id === '.' || id === '..') throw new TypeError(`"${resourceId}" is no resource id`);
  const path = `/${[...base, domain, resource, ...ids].map(encodeURIComponent).join('/')}`;
  const pairs = Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]);
  return pairs.length === 0 ? path : `${path}?${new URLSearchParams(pairs).toString()}`;
}
