/** Announces that a route will be removed, and that it has been (RFC 9745 Deprecation, RFC 8594 Sunset). */
import type { Context } from 'koa';
import { ApiError } from '../../model/error.js';

export interface Deprecation {
  /** Since when new use is discouraged; may be in the future. */
  since: Date;
  /** When the route stops working; not before `since`. */
  sunset?: Date;
  /** Path or URL of the documentation. */
  link?: string;
}

/** What is wrong with the announcement, which must then not reach a header; undefined if nothing is. */
export function faultOf({ since, sunset, link }: Deprecation): string | undefined {
  if (Number.isNaN(since.getTime())) return 'the deprecation has no valid date in "since"';
  if (sunset !== undefined && Number.isNaN(sunset.getTime()))
    return 'the deprecation has no valid date in "sunset"';
  if (sunset !== undefined && sunset < since) return 'the sunset is before the deprecation';
  if (link !== undefined && !/^[\x21-\x3b\x3d\x3f-\x7e]+$/.test(link))
    return 'the link of the deprecation is not a valid URL: escape spaces, "<" and ">"';
  return undefined;
}

/** Sets the header fields. After the sunset: 410. */
export function writeDeprecation(ctx: Context, { since, sunset, link }: Deprecation): void {
  ctx.set('Deprecation', `@${Math.floor(since.getTime() / 1000)}`);
  if (sunset !== undefined) ctx.set('Sunset', sunset.toUTCString());
  if (link !== undefined) ctx.set('Link', `<${link}>; rel="deprecation"`);
  if (sunset !== undefined && sunset.getTime() <= Date.now()) {
    throw new ApiError('gone', `The route was removed on ${sunset.toUTCString()}.`, {
      headers: link === undefined ? {} : { Link: `<${link}>; rel="sunset"` },
    });
  }
}
