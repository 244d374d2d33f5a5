/** Request bodies in CBOR (RFC 8949): the values that JSON has, and times as texts. */
import { decode, Tag } from 'cbor2';
import { malformedBody } from './text-tree.js';
import { depthLimit, valueLimit } from './xml-reader.js';

/** Tag of a time as text (RFC 3339). */
const timeTag = 0;

/** Bytes of the argument after the first byte, by the additional information (RFC 8949, section 3). */
const argumentSizes = [1, 2, 4, 8];

/**
 * Counts the values before anything is built of them: a body within the size limit could have a million, which take a
 * second.
 */
function assertFewValues(bytes: Buffer): void {
  let values = 0;
  let at = 0;
  while (at < bytes.length) {
    values += 1;
    if (values > valueLimit) throw malformedBody(`More than ${valueLimit} values are not accepted.`);
    const first = bytes[at] ?? 0;
    const [major, info] = [first >> 5, first & 31];
    const size = info < 24 ? 0 : (argumentSizes[info - 24] ?? 0);
    if (at + 1 + size > bytes.length) return;
    // Only the content of bytes and texts is skipped; lists and maps are followed by their values.
    const skips = (major === 2 || major === 3) && info < 28;
    const length = skips
      ? info < 24
        ? info
        : Number(`0x${bytes.toString('hex', at + 1, at + 1 + size)}`)
      : 0;
    at += 1 + size + length;
  }
}

/** The value without tags; throws for what JSON has no counterpart of. Its depth is limited by then. */
function jsonValue(value: unknown): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (Array.isArray(value)) return value.map(jsonValue);
  if (value instanceof Tag && value.tag === timeTag && typeof value.contents === 'string')
    return value.contents;
  if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype)
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, jsonValue(member)]));
  throw malformedBody(
    'The body contains what JSON has no counterpart of, such as bytes, undefined, a tag, or a key that is no text.',
  );
}

export function readCbor(bytes: Buffer): unknown {
  assertFewValues(bytes);
  let value: unknown;
  try {
    value = decode(bytes, {
      ...{ maxDepth: depthLimit, rejectDuplicateKeys: true, rejectUndefined: true },
      ignoreGlobalTags: true,
    });
  } catch (cause) {
    throw malformedBody('The body is not one well-formed CBOR value, or is nested too deeply.', { cause });
  }
  return jsonValue(value);
}
