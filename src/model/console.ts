/** Cuts parts out of a console, which is bytes: offsets and lines are counted in them, and characters are not cut. */

/** A part of everything that the guest has ever written to its console. */
export interface ConsoleOutput {
  contents: string;
  /** Offset in bytes of the first byte of `contents`. */
  start: number;
  /** Where to continue: the offset after `contents`. */
  next: number;
}

/** Which part: from an offset on, or all that is stored; of these the last lines. */
export interface ConsolePart {
  lines?: number;
  start?: number;
}

/** Maximum number of bytes of a part that is read by offset. */
export const partLimit = 1 << 20;

const newline = 10;

/** Bytes at the beginning that belong to a character that began before. */
export function continuationBytes(bytes: Buffer): number {
  let count = 0;
  while (count < 3 && ((bytes[count] ?? 0) & 0xc0) === 0x80) count += 1;
  return count;
}

/** Bytes at the end of a character of which more may come. */
function begunBytes(bytes: Buffer): number {
  for (let count = 1; count <= Math.min(3, bytes.length); count += 1) {
    const byte = bytes[bytes.length - count] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > count ? count : 0;
  }
  return 0;
}

/** Where the last `count` lines begin. A last line without a newline (a prompt) counts as one. */
function lastLinesIn(bytes: Buffer, count: number): number {
  if (count <= 0) return bytes.length;
  let start = bytes.at(-1) === newline ? bytes.length - 1 : bytes.length;
  for (let found = 0; found < count; found += 1) {
    if (start === 0) return 0;
    start = bytes.lastIndexOf(newline, start - 1);
    if (start === -1) return 0;
  }
  return start + 1;
}

/** The text of these bytes, of which the first has the given offset. */
export function partOf(bytes: Buffer, offset: number, lines?: number): ConsoleOutput {
  const whole = bytes.subarray(0, bytes.length - begunBytes(bytes));
  const from = lines === undefined ? 0 : lastLinesIn(whole, lines);
  const part = whole.subarray(from);
  const contents = new TextDecoder('utf-8', { ignoreBOM: true }).decode(part);
  return { contents, start: offset + from, next: offset + whole.length };
}

/**
 * Where to begin for a client that asks for the output from `wanted` on, if the bytes from `first` to `end` are stored.
 * Beyond the end: the console is that of a new machine.
 */
export function beginOf(wanted: number, first: number, end: number): number {
  return wanted > end ? first : Math.max(wanted, first);
}
