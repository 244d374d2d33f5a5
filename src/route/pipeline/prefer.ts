/**
 * The preferences (RFC 7240) `wait=N` (section 4.3), how long the client would wait for the end of asynchronous work,
 * and `count=exact`, whether it would know how many items a list has.
 */

/** Seconds that a request may wait at most. */
export const longestWait = 60;

/** The parts between commas; a quoted text may contain commas too. */
const preference = /(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\\?$))+/g;
const named = /^\s*wait\s*(?:[=;]|$)/i;
const valued = /^\s*wait\s*=\s*(?:"(\d{1,9})"|(\d{1,9}))\s*(?:;|$)/i;

const countNamed = /^\s*count\s*(?:[=;]|$)/i;
const countExact = /^\s*count\s*=\s*(?:"exact"|exact)\s*(?:;|$)/i;

/** The first one applies (section 2); text in quotes or after a semicolon belongs to another preference. */
function find(header: string | string[], name: RegExp): string {
  const text = Array.isArray(header) ? header.join(',') : header;
  return text.match(preference)?.find((one) => name.test(one)) ?? '';
}

/** Whether the client would know the number of items. */
export function countAsked(header: string | string[] | undefined): boolean {
  return header !== undefined && countExact.test(find(header, countNamed));
}

/** Seconds; 0 without the preference. Unknown and malformed preferences are ignored, as the RFC requires. */
export function waitOf(header: string | string[] | undefined): number {
  if (header === undefined) return 0;
  const [, quoted, bare] = valued.exec(find(header, named)) ?? [];
  const seconds = quoted ?? bare;
  return seconds === undefined ? 0 : Math.min(Number(seconds), longestWait);
}
