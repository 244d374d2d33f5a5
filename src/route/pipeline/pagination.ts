/**
 * Lists in pages with RFC 8288 links. Names: Evergreen's REST v2 route package. Differences: links are comma-separated,
 * keep all other parameters and contain opaque cursors; limits are bounded; a page costs the same at any depth.
 */
import { Type } from 'typebox';
import { linksOf } from '../../model/link-header.js';
import type { CursorCodec, PageKey } from './cursor.js';
import type { Declaration, RequestHandler, RouteRequest } from './handler.js';
import { countAsked } from './prefer.js';
import type { JsonText, Links, ResponseData } from './response.js';

export const defaultLimit = 100;
export const maxLimit = 1000;

/** A page next to the current one: its relation, where it begins and its maximum number of items. */
export interface Page {
  relation: 'next' | 'prev';
  key: PageKey;
  limit: number;
}

/** The pages next to the current one; the first and the last page lack one of them. */
export interface PageResult {
  next?: Page;
  prev?: Page;
}

/** The order that the client requested. */
export interface PageOrder {
  /** One of the declared orders. */
  sort: string;
  descending: boolean;
}

/**
 * Fetches one page: the items, or their stored texts, and the pages next to it. `args` is whatever else the list needs.
 */
export type PaginatorFunc<C, A> = (
  key: PageKey | undefined,
  limit: number,
  args: A,
  connector: C,
  order: PageOrder,
) => Promise<{ items: JsonText | unknown[]; pages: PageResult }>;

export interface PaginationOptions<C, A, D extends Declaration = Declaration> {
  /** Without `key` and `limit`, which are added to the query. */
  declaration: D;
  paginator: PaginatorFunc<C, A>;
  /** Takes from the request what the paginator needs in addition to key and limit. */
  args(request: RouteRequest<D>): A;
  /** Orders that a client may ask for with `sort`; the first is the default. Default: `id` alone. */
  orders?: readonly [string, ...string[]] | undefined;
  /** The number of items on all pages, for `Prefer: count=exact`; undefined if it is too large to be counted. */
  count?: ((connector: C, args: A) => Promise<number | undefined>) | undefined;
  keyQueryParam?: string;
  limitQueryParam?: string;
}

/** A RequestHandler for lists: takes key and limit from the query and leaves fetching to its PaginatorFunc. */
export class PaginationExecutor<C, A, D extends Declaration = Declaration> implements RequestHandler<C> {
  readonly declaration: Declaration;
  readonly keyQueryParam: string;
  readonly limitQueryParam: string;
  readonly #options: PaginationOptions<C, A, D>;
  readonly #orders: readonly [string, ...string[]];
  #page:
    | {
        key: PageKey | undefined;
        limit: number;
        args: A;
        metadata: PaginationMetadata;
        order: PageOrder;
        counted: boolean;
      }
    | undefined;

  /** `declaration` is passed only by `handler`, which would otherwise build the same schemas again for each request. */
  constructor(options: PaginationOptions<C, A, D>, declaration?: Declaration) {
    this.#options = options;
    this.keyQueryParam = options.keyQueryParam ?? 'key';
    this.limitQueryParam = options.limitQueryParam ?? 'limit';
    this.#orders = options.orders ?? ['id'];

    this.declaration =
      declaration ??
      withPageParameters(options.declaration, this.keyQueryParam, this.limitQueryParam, this.#orders);
  }

  handler(): PaginationExecutor<C, A, D> {
    return new PaginationExecutor(this.#options, this.declaration);
  }

  parseAndValidate(request: RouteRequest, cursors: CursorCodec): void {
    const query = request.query as Record<string, unknown>;
    const limit = (query[this.limitQueryParam] as number | undefined) ?? defaultLimit;
    const text = query[this.keyQueryParam] as string | undefined;
    const metadata = new PaginationMetadata(
      request,
      cursors,
      this.keyQueryParam,
      this.limitQueryParam,
      limit,
    );
    const key = text === undefined ? undefined : cursors.decode(text, metadata.binding);
    const order = {
      sort: (query['sort'] as string | undefined) ?? this.#orders[0],
      descending: query['descending'] === true,
    };
    const counted = this.#options.count !== undefined && countAsked(request.headers['prefer']);
    this.#page = { key, limit, args: this.#options.args(request), metadata, order, counted };
  }

  async execute(connector: C): Promise<ResponseData> {
    if (this.#page === undefined)
      throw new Error(`${this.declaration.operationId}: execute before parseAndValidate`);
    const { key, limit, args, metadata, order, counted } = this.#page;
    const total = counted ? await this.#options.count?.(connector, args) : undefined;
    const { items, pages } = await this.#options.paginator(key, limit, args, connector, order);
    const counts = total === undefined ? {} : { total };
    return { result: items, metadata: { pages: metadata.with(pages), ...counts } };
  }
}

function withPageParameters(
  declaration: Declaration,
  key: string,
  limit: string,
  orders: readonly string[],
): Declaration {
  const { properties = {} } = declaration.query ?? {};
  const sort = Type.Union(
    orders.map((order) => Type.Literal(order)),
    { default: orders[0], description: 'Order of the items; ties are in id order.' },
  );
  const query = Type.Object(
    {
      ...properties,
      ...(orders.length > 1 ? { sort: Type.Optional(sort) } : {}),
      descending: Type.Optional(Type.Boolean({ default: false, description: 'Reverses the order.' })),
      [key]: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 2000,
          examples: ['eyJwb3NpdGlvbiI6WyJhIl19.AAAAAAAAAAAAAAAAAAAAAA'],
          description: 'The cursor of the page: take it from a link, never construct it.',
        }),
      ),
      [limit]: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: maxLimit,
          default: defaultLimit,
          description: 'Maximum number of items on the page.',
        }),
      ),
    },
    { additionalProperties: false },
  );
  return { ...declaration, query };
}

/** Everything that the Link header needs: the request's own path and parameters, and the pages next to it. */
export class PaginationMetadata implements Links {
  readonly keyQueryParam: string;
  readonly limitQueryParam: string;
  pages: PageResult;
  readonly #path: string;
  readonly #cursors: CursorCodec;
  readonly #limit: number;
  /** The request's parameters except key and limit, in a fixed order. */
  readonly #filters: string;

  constructor(
    request: Pick<RouteRequest, 'path' | 'querystring'>,
    cursors: CursorCodec,
    keyQueryParam: string,
    limitQueryParam: string,
    limit: number,
    pages: PageResult = {},
  ) {
    this.#path = request.path;
    this.#cursors = cursors;
    this.keyQueryParam = keyQueryParam;
    this.limitQueryParam = limitQueryParam;
    this.#limit = limit;
    this.pages = pages;
    this.#filters = filtersOf(request.querystring, keyQueryParam, limitQueryParam);
  }

  /** Adds the pages once they are known. */
  with(pages: PageResult): this {
    this.pages = pages;
    return this;
  }

  /** What a cursor is bound to: the list and its filters. */
  get binding(): string {
    return `${this.#path}?${this.#filters}`;
  }

  /** The value of the Link header: absolute URLs, comma-separated, with all other parameters. */
  makeHeader(apiUrl: string): string {
    const { next, prev } = this.pages;
    const links = [next, prev]
      .filter((page) => page !== undefined)
      .map((page) => this.#link(apiUrl, page.relation, page.limit, page.key));
    return [...links, this.#link(apiUrl, 'first', this.#limit)].join(', ');
  }

  #link(apiUrl: string, relation: string, limit: number, key?: PageKey): string {
    const filters = this.#filters === '' ? '' : `${this.#filters}&`;
    // A cursor consists of characters that need no escaping in a query.
    const from = key === undefined ? '' : `${this.keyQueryParam}=${this.#cursors.encode(key, this.binding)}&`;
    const query = `${filters}${from}${this.limitQueryParam}=${limit}`;
    return `<${apiUrl}${this.#path}?${query}>; rel="${relation}"`;
  }
}

function filtersOf(querystring: string, key: string, limit: string): string {
  if (querystring === '') return '';
  const filters = new URLSearchParams(querystring);
  filters.delete(key);
  filters.delete(limit);
  filters.sort();
  return filters.toString();
}

/** A page as a client reads it from a link. */
export interface LinkedPage {
  url: string;
  key: string | undefined;
  limit: number | undefined;
}

/**
 * The pages named in a Link header. Unknown relations are left out, and so are targets that are not URLs, and `next`
 * and `prev` without a key, which would lead to the first page again; `first` has none.
 */
export function parsePaginationHeader(
  header: string | readonly string[] | null | undefined,
  keyQueryParam = 'key',
  limitQueryParam = 'limit',
): { next?: LinkedPage; prev?: LinkedPage; first?: LinkedPage } {
  const links = linksOf(header);
  const pages: { next?: LinkedPage; prev?: LinkedPage; first?: LinkedPage } = {};
  for (const relation of ['next', 'prev', 'first'] as const) {
    const url = links.get(relation);
    // A relative target is valid; the base is only used to parse its query.
    const base = 'http://localhost';
    if (url === undefined || !URL.canParse(url, base)) continue;
    const { searchParams } = new URL(url, base);
    const key = searchParams.get(keyQueryParam) ?? undefined;
    if (key === undefined && relation !== 'first') continue;
    const limit = searchParams.get(limitQueryParam) ?? '';
    pages[relation] = {
      url,
      key,
      limit: /^\d+$/.test(limit) ? Number(limit) : undefined,
    };
  }
  return pages;
}
