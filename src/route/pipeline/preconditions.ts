/** Entity tags and the preconditions of clients (RFC 9110, sections 8.8.3 and 13). */
import type { IncomingHttpHeaders } from 'node:http';
import { ApiError } from '../../model/error.js';
import type { Standing } from '../../model/standing.js';

/**
 * The strong tag of a revision. The name of a representation other than JSON, and then a content coding, are appended
 * after ";", since they change the bytes.
 */
export function entityTag(value: string | number): string {
  return `"${value}"`;
}

function tagsOf(header: string): string[] | '*' {
  if (header.trim() === '*') return '*';
  const tags = [...header.matchAll(/(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"/g)];
  const rest = header.replaceAll(/(W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g, '').replaceAll(/[\s,]/g, '');
  if (tags.length === 0 || rest !== '') {
    throw new ApiError(
      'invalid_parameter',
      'If-Match and If-None-Match accept entity tags in quotes, or "*".',
    );
  }
  return tags.map((match) => match[0]);
}

/** Without the coding: the tag of a compressed response identifies the same representation. */
function plain(tag: string): string {
  return tag.replace(/;(br|gzip)"$/, '"');
}

/** Without the representation as well: every tag of the same revision. */
function revisionOf(tag: string): string {
  return plain(tag).replace(/;(xml|cbor|html-escaped)"$/, '"');
}

function matches(tags: string[] | '*', current: string, weak: boolean): boolean {
  if (tags === '*') return true;
  return tags.some((tag) => revisionOf(weak ? tag.replace(/^W\//, '') : tag) === revisionOf(current));
}

/** The tag in the list that identifies the current representation, with its coding. Weak comparison. */
function matching(tags: string[], current: string): string | undefined {
  return tags.map((tag) => tag.replace(/^W\//, '')).find((tag) => plain(tag) === current);
}

/**
 * Throws 412 if the resource is not what the client requires; returns whether the client knows the current revision.
 */
export type Precondition = (standing: Standing) => boolean;

/** Whether nothing that users may write has changed since the tag's revision. */
function standsFor(tag: string, { revision, wishRevision }: Standing, weak: boolean): boolean {
  const [, number] = /^"([1-9]\d{0,15})"$/.exec(revisionOf(weak ? tag.replace(/^W\//, '') : tag)) ?? [];
  return number !== undefined && Number(number) >= wishRevision && Number(number) <= revision;
}

/**
 * The precondition of a change, to be checked where the change is made; undefined without one. Strong comparison for
 * If-Match, weak for If-None-Match, which applies only without If-Match. Observations since the client's read are not a
 * reason to refuse: docs/pipeline.md.
 */
export function preconditionOf(headers: IncomingHttpHeaders): Precondition | undefined {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined;
  const demanded = tagsOf(ifMatch ?? ifNoneMatch ?? '');
  const weak = ifMatch === undefined;
  return (standing) => {
    const found = demanded === '*' || demanded.some((tag) => standsFor(tag, standing, weak));
    const tag = entityTag(standing.revision);
    if (found !== weak) return !weak && demanded !== '*' && matches(demanded, tag, false);
    throw new ApiError('precondition_failed', `The resource now has the entity tag ${tag}.`);
  };
}

/**
 * For a conditional read: the tag of a 304, or undefined if the representation must be sent. Throws 412. The tag is the
 * client's own, so that a cache learns which of its copies, by coding, is still valid.
 */
export function unmodifiedTag(headers: IncomingHttpHeaders, tag: string): string | undefined {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  if (ifMatch !== undefined && !matches(tagsOf(ifMatch), tag, false)) {
    throw new ApiError('precondition_failed', `The resource now has the entity tag ${tag}.`);
  }
  if (ifNoneMatch === undefined) return undefined;
  const tags = tagsOf(ifNoneMatch);
  return tags === '*' ? tag : matching(tags, tag);
}
