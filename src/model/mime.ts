/**
 * Reads MIME multipart (RFC 2045, 2046) strictly, as far as cloud-init needs it. Mail libraries repair broken input,
 * because mail has to be shown anyway; here a damaged part must be reported, because the guest would ignore it.
 */

export interface Part {
  /** Its position: "2", or "2.1" within a multipart that is itself a part. */
  place: string;
  /** In lower case, without parameters; `text/plain` by default. */
  type: string;
  content: Buffer;
  /** Number of lines of the whole before the content; undefined if it was encoded. */
  before: number | undefined;
}

/** Why the parts cannot be read; the message continues "userData is MIME multipart, but". */
export class MimeFault extends Error {
  override readonly name = 'MimeFault';
}

interface Block {
  headers: ReadonlyMap<string, string>;
  /** Index of the first line after the headers. */
  body: number;
  /** Index of the first line that is not a header. */
  bad: number | undefined;
}

/** Maximum depth of nested multiparts. */
const depthLimit = 10;
/** Maximum number of parts: compressed data can contain very many. */
const partLimit = 1000;
const header = /^([!-9;-~]+):[ \t]*(.*)$/;

/** The parts; undefined if the text (one character per byte) does not start like MIME multipart. Throws MimeFault. */
export function partsOf(text: string): Part[] | undefined {
  if (!/^(From |[!-9;-~]+:)/.test(text)) return undefined;
  const lines = text.split(/\r\n|\n|\r/);
  // An mbox line, which some tools prepend.
  const block = blockOf(lines, text.startsWith('From ') ? 1 : 0, lines.length);
  if (!typeOf(block).startsWith('multipart/')) return undefined;
  // What cloud-init searches for, and how far.
  if (!/mime-version:/i.test(text.slice(0, 4096)))
    throw new MimeFault('it has no MIME-Version header, which cloud-init requires.');
  const parts: Part[] = [];
  multipart(lines, block, lines.length, [], parts);
  return parts;
}

/** Adds the nested parts to those found so far. */
function multipart(
  lines: readonly string[],
  block: Block,
  end: number,
  place: readonly number[],
  found: Part[],
): void {
  const within = place.length === 0 ? '' : `part ${place.join('.')}: `;
  if (block.bad !== undefined)
    throw new MimeFault(
      `${within}line ${block.bad + 1} is neither a header nor a blank line before the content.`,
    );
  if (place.length > depthLimit) throw new MimeFault(`${within}its parts are nested too deeply.`);
  const boundary = parameterOf(block.headers.get('content-type') ?? '', 'boundary');
  if (boundary === undefined || boundary === '')
    throw new MimeFault(`${within}its Content-Type names no boundary.`);
  const opening = `--${boundary}`;
  const starts: number[] = [];
  for (let index = block.body; index < end; index += 1) {
    const line = lines[index]?.trimEnd();
    if (line === opening) starts.push(index + 1);
    else if (line === `${opening}--`) {
      if (starts.length === 0) break;
      const ends = [...starts.slice(1).map((start) => start - 1), index];
      for (const [n, start] of starts.entries())
        partOf(lines, start, ends[n] ?? index, [...place, n + 1], found);
      return;
    }
  }
  const shown = `"${opening.slice(0, 72).replaceAll(/[^ -~]/g, '?')}"`;
  throw new MimeFault(
    starts.length === 0
      ? `${within}it has no parts: no line ${shown} before its end.`
      : `${within}its closing line is missing (${shown} and two more hyphens); it may have been cut off.`,
  );
}

function partOf(
  lines: readonly string[],
  start: number,
  end: number,
  place: readonly number[],
  found: Part[],
): void {
  const block = blockOf(lines, start, end);
  const type = typeOf(block);
  if (type.startsWith('multipart/')) {
    multipart(lines, block, end, place, found);
    return;
  }
  if (found.length === partLimit) throw new MimeFault(`it has more than ${partLimit} parts.`);
  const name = place.join('.');
  if (block.bad !== undefined)
    throw new MimeFault(
      `part ${name}: line ${block.bad + 1} is neither a header nor a blank line before the content.`,
    );
  const encoding = (block.headers.get('content-transfer-encoding') ?? '8bit').trim().toLowerCase();
  const content = decoded(lines.slice(block.body, end).join('\n'), encoding);
  if (content === undefined)
    throw new MimeFault(
      `part ${name}: its content is not ${encoding.slice(0, 40).replaceAll(/[^ -~]/g, '?')}.`,
    );
  const plain = ['7bit', '8bit', 'binary'].includes(encoding);
  found.push({ place: name, type, content, before: plain ? block.body : undefined });
}

/** The headers from a line on, up to the blank line that ends them. */
function blockOf(lines: readonly string[], start: number, end: number): Block {
  const headers = new Map<string, string>();
  let last: string | undefined;
  let bad: number | undefined;
  let index = start;
  for (; index < end; index += 1) {
    const line = lines[index] ?? '';
    if (line === '') break;
    const [, name, value = ''] = header.exec(line) ?? [];
    if (name !== undefined) {
      last = name.toLowerCase();
      // The first of several wins.
      if (!headers.has(last)) headers.set(last, value);
    } else if (/^[ \t]/.test(line) && last !== undefined) {
      headers.set(last, `${headers.get(last) ?? ''} ${line.trim()}`);
    } else bad ??= index;
  }
  return { headers, body: Math.min(index + 1, end), bad };
}

function typeOf({ headers }: Block): string {
  const [type = ''] = (headers.get('content-type') ?? 'text/plain').split(';');
  return type.trim().toLowerCase();
}

/** A parameter of a header's value, quoted or bare. */
function parameterOf(value: string, name: string): string | undefined {
  const [, quoted, bare] =
    new RegExp(`;\\s*${name}\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s;"]+))`, 'i').exec(value) ?? [];
  return quoted?.replaceAll(/\\(.)/g, '$1') ?? bare;
}

/** Undefined if it is not valid in that encoding. */
function decoded(text: string, encoding: string): Buffer | undefined {
  switch (encoding) {
    case '7bit':
    case '8bit':
    case 'binary':
      return Buffer.from(text, 'latin1');
    case 'base64': {
      const packed = text.replaceAll(/[ \t\n]/g, '');
      return packed.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(packed)
        ? Buffer.from(packed, 'base64')
        : undefined;
    }
    case 'quoted-printable': {
      const joined = text.replaceAll(/=[ \t]*(\n|$)/g, '');
      if (/=(?![0-9A-Fa-f]{2})/.test(joined)) return undefined;
      const bytes = joined.replaceAll(/=(..)/g, (_all, hex: string) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      );
      return Buffer.from(bytes, 'latin1');
    }
    default:
      return undefined;
  }
}
