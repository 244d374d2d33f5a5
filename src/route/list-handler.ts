/** Paginated lists of stored texts: the texts of a page are joined in the store, and sent unchanged. */
import type { Connector } from '../data/connector.js';
import type { ListPage, TextPage } from '../data/store/port.js';
import type { Declaration, RequestHandler, RouteRequest } from './pipeline/handler.js';
import { keysetPage } from './pipeline/keyset.js';
import { PaginationExecutor } from './pipeline/pagination.js';
import { JsonText } from './pipeline/response.js';

export interface ListCode<D extends Declaration, A> {
  /** Orders that a client may ask for with `sort`; the first is the default. Default: `id` alone. */
  orders?: readonly [string, ...string[]];
  /** The only function that sees the request. Its result is the only input of `list`. */
  args: (request: RouteRequest<D>) => A;
  /** The only function that sees data. */
  list: (connector: Connector, args: A, page: ListPage) => Promise<TextPage>;
  /** The number of items on all pages, for `Prefer: count=exact`; undefined if it is too large to be counted. */
  count?: (connector: Connector, args: A) => Promise<number | undefined>;
}

/** The handler of a list. Key, limit and order are added to the declared query. */
export function listHandler<const D extends Declaration, A>(
  declaration: D,
  { orders, args, list, count }: ListCode<D, A>,
): RequestHandler<Connector> {
  return new PaginationExecutor<Connector, A, D>({
    declaration: { ...declaration, cacheable: true, counts: count !== undefined },
    orders,
    args,
    count,
    async paginator(key, limit, wanted, connector, { sort: order, descending }) {
      const { slice, pages } = await keysetPage(
        key,
        limit,
        (page) => list(connector, wanted, { ...page, order }),
        descending,
      );
      return { items: new JsonText(slice.body), pages };
    },
  });
}
