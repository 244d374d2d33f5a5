/** Announces that a route goes away, and says so after it went (RFC 9745 Deprecation, RFC 8594 Sunset). */
import type { Context } from 'koa';
import { ApiError } from '../../model/error.js';

export interface Deprecation {
  /** Since when new use is discouraged; may lie in the future. */
  since: Date;
  /** When the route stops to answer; not before `since`. */
  sunset?: Date;
  /** Path or URL of what to read. */
  link?: string;
}

/** What is wrong with the announcement, so that it must not reach a header; undefined when nothing is. */
export function faultOf({ since, sunset, link }: Deprecation): string | undefined {
  if (Number.isNaN(since.getTime())) return 'the deprecation has no valid date in "since"';
  if (sunset !== undefined && Number.isNaN(sunset.getTime()))
    return 'the deprecation has no valid date in "sunset"';
  if (sunset !== undefined && sunset < since) return 'the sunset is before the deprecation';
  if (link !== undefined && !/^[\x21-\x3b\x3d\x3f-\x7e]+$/.test(link))
    return 'the link of the deprecation is not a valid URL: escape spaces, "<" and ">"';
  return undefined;
}

/** Sets the fields. After the sunset: 410. */
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
