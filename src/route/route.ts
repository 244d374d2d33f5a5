/** The pipeline's types bound to this API's connector: what a route file imports. */
import type { Connector } from '../data/connector.js';
import type { TextPage } from '../data/store/port.js';
import type { PageKey } from './pipeline/cursor.js';
import { requestHandler } from './pipeline/handler.js';
import type { KeysetQuery } from './pipeline/keyset.js';
import { keysetPage } from './pipeline/keyset.js';
import type { PageResult } from './pipeline/pagination.js';
import { JsonText } from './pipeline/response.js';
import type { RouteManager } from './pipeline/route-manager.js';

export type Route = RouteManager<Connector>;

export const defineHandler = requestHandler<Connector>();

/** A page of stored texts, joined as they are. */
export async function textPage(
  key: PageKey | undefined,
  limit: number,
  fetch: (query: KeysetQuery) => Promise<TextPage>,
  descending = false,
): Promise<{ items: JsonText; pages: PageResult }> {
  const { slice, pages } = await keysetPage(key, limit, fetch, descending);
  return { items: new JsonText(slice.body, slice.kept), pages };
}
