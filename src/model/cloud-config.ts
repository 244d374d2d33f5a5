/** Whether cloud-init can read a YAML document. If it cannot, it ignores it, with a line in a log inside the guest. */
import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';

export interface YamlFault {
  /** Counts from 1. */
  line: number | undefined;
  /** A sentence without the full stop. */
  reason: string;
}

/**
 * Limits on all brackets, and on the columns or indicators of a line, up to which a text is parsed: half of what the
 * stack can hold.
 */
const bracketLimit = 300;
const lineLimit = 100;

/**
 * The reason why it cannot be read; undefined if it can, or if that cannot be judged. Aliases are not expanded, so the
 * cost follows the text.
 */
export function yamlFault(text: string, shape: 'mapping' | 'list'): YamlFault | undefined {
  if (/(?:[[{]\s*){500}/.test(text)) return { line: undefined, reason: 'it is nested too deeply' };
  if (mayNestDeeply(text)) return undefined;
  const lineCounter = new LineCounter();
  const lineOf = (offset: number | undefined) =>
    offset === undefined ? undefined : lineCounter.linePos(offset).line;
  // cloud-init reads YAML 1.1, which allows repeated keys.
  const options = { version: '1.1', uniqueKeys: false, strict: false, prettyErrors: false } as const;
  const document = parseDocument(text, { ...options, lineCounter });
  const unknownTags = document.warnings.filter(({ code }) => code === 'TAG_RESOLVE_FAILED');
  const [error] = [...document.errors, ...unknownTags];
  if (error !== undefined) {
    if (goesOnUnindented(error, text)) return undefined;
    const [first = ''] = error.message.split('\n');
    return { line: lineOf(error.pos[0]), reason: first.slice(0, 120).replace(/[.:]+$/, '') };
  }
  const { contents } = document;
  const fits = shape === 'mapping' ? isMap(contents) : isSeq(contents);
  const empty = contents === null || (isScalar(contents) && contents.value === null);
  if (!fits && !empty) return { line: lineOf(contents.range[0]), reason: `it is not a ${shape}` };
  return looseAlias(document.contents, lineOf);
}

/**
 * Whether it may be deeply nested, judged by characters alone and erring on the safe side. The library recurses, and V8
 * ends the whole process, past any `catch`, when it has to compile a regular expression at the end of its stack.
 */
function mayNestDeeply(text: string): boolean {
  const count = (part: string, pattern: RegExp) => part.match(pattern)?.length ?? 0;
  return (
    count(text, /[[{]/g) > bracketLimit ||
    text.split('\n').some((line) => {
      const [before = ''] = /^[ \t]*(?:[-?:][ \t]+)*/.exec(line) ?? [];
      return before.length > lineLimit || count(line, /[-?:](?=\s|$)|(?<=^|\s)[&!]/g) > lineLimit;
    })
  );
}

/**
 * Whether brackets or quotes are closed later: YAML 1.2 ends them at a line that is not indented, cloud-init's parser
 * does not.
 */
function goesOnUnindented(
  { message, pos }: { message: string; pos: [number, number] },
  text: string,
): boolean {
  const [, bracket, quote] = /end with a ([\]}])$|^Missing closing (["'])/.exec(message) ?? [];
  const closing = bracket ?? quote;
  return closing !== undefined && text.includes(closing, pos[0] + 1);
}

/** An alias before its anchor, or without one. */
function looseAlias(
  contents: unknown,
  lineOf: (offset: number | undefined) => number | undefined,
): YamlFault | undefined {
  if (!isNode(contents)) return undefined;
  const anchors = new Set<string>();
  let fault: YamlFault | undefined;
  visit(contents, (_key, node) => {
    if (isAlias(node)) {
      if (anchors.has(node.source)) return undefined;
      fault = {
        line: lineOf(node.range?.[0]),
        reason: `there is no anchor for the alias *${node.source.slice(0, 60)}`,
      };
      return visit.BREAK;
    }
    if (isNode(node) && node.anchor !== undefined) anchors.add(node.anchor);
    return undefined;
  });
  return fault;
}
