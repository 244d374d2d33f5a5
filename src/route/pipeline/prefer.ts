/** The preference `wait=N` (RFC 7240, section 4.3): how long the client would wait for the end of asynchronous work. */

/** Seconds that a request may wait at most. */
export const longestWait = 60;

/** The parts between commas; a quoted text may contain commas too. */
const preference = /(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\\?$))+/g;
const named = /^\s*wait\s*(?:[=;]|$)/i;
const valued = /^\s*wait\s*=\s*(?:"(\d{1,9})"|(\d{1,9}))\s*(?:;|$)/i;

/** Seconds; 0 without the preference. Unknown and malformed preferences are ignored, as the RFC requires. */
export function waitOf(header: string | string[] | undefined): number {
  if (header === undefined) return 0;
  const text = Array.isArray(header) ? header.join(',') : header;
  // The first one applies (section 2); text in quotes or after a semicolon belongs to another preference.
  const asked = text.match(preference)?.find((one) => named.test(one)) ?? '';
  const [, quoted, bare] = valued.exec(asked) ?? [];
  const seconds = quoted ?? bare;
  return seconds === undefined ? 0 : Math.min(Number(seconds), longestWait);
}
