/** Entity tags and the conditions that clients set on them (RFC 9110, sections 8.8.3 and 13). */
import type { IncomingHttpHeaders } from 'node:http';
import { ApiError } from '../../model/error.js';

/** The strong tag of a revision. A content coding adds itself behind ";", since it changes the bytes. */
export function entityTag(value: string | number): string {
  return `"${value}"`;
}

function tagsOf(header: string): string[] | '*' {
  if (header.trim() === '*') return '*';
  const tags = [...header.matchAll(/(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"/g)];
  const rest = header.replaceAll(/(W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g, '').replaceAll(/[\s,]/g, '');
  if (tags.length === 0 || rest !== '') {
    throw new ApiError('invalid_parameter', 'If-Match and If-None-Match take entity tags in quotes, or "*".');
  }
  return tags.map((match) => match[0]);
}

/** Without the coding: the tag of a compressed answer names the same revision. */
function plain(tag: string): string {
  return tag.replace(/;(br|gzip)"$/, '"');
}

function matches(tags: string[] | '*', current: string, weak: boolean): boolean {
  if (tags === '*') return true;
  return tags.some((tag) => plain(weak ? tag.replace(/^W\//, '') : tag) === current);
}

/**
 * The condition of a changing request, to be checked where the change is made; undefined without one. Strong comparison
 * for If-Match, weak for If-None-Match, which counts only without If-Match.
 */
export function preconditionOf(headers: IncomingHttpHeaders): ((revision: number) => void) | undefined {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined;
  const demanded = tagsOf(ifMatch ?? ifNoneMatch ?? '');
  return (revision) => {
    const found = matches(demanded, entityTag(revision), ifMatch === undefined);
    if (found === (ifMatch !== undefined)) return;
    throw new ApiError('precondition_failed', `The resource has the entity tag ${entityTag(revision)} now.`);
  };
}

/** What a read with conditions gets: the representation, 304, or 412. */
export function conditionOfRead(headers: IncomingHttpHeaders, tag: string): 'send' | 'not-modified' {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  if (ifMatch !== undefined && !matches(tagsOf(ifMatch), tag, false)) {
    throw new ApiError('precondition_failed', `The resource has the entity tag ${tag} now.`);
  }
  return ifNoneMatch !== undefined && matches(tagsOf(ifNoneMatch), tag, true) ? 'not-modified' : 'send';
}
