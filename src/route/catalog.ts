/** What the routes of one region, flavor or image share: the answer, which a client may keep for a while. */
import { createHash } from 'node:crypto';
import type { ResponseData } from './pipeline/response.js';
import { JsonText } from './pipeline/response.js';

/** Nothing in the catalog has a revision: the tag is of the bytes. */
export function catalogAnswer(item: object): ResponseData {
  const text = JSON.stringify(item);
  const revision = createHash('sha256').update(text).digest('base64url').slice(0, 22);
  return { result: new JsonText(text), metadata: { revision, cacheControl: 'private, max-age=60' } };
}
