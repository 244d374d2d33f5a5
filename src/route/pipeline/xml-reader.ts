/** Request bodies in XML: the counterpart of xml-writer.ts. Document types, and so entities, are refused. */
import { SaxesParser } from 'saxes';
import { malformedBody, type TextNode } from './text-tree.js';

/** How deep elements may be nested; more than in any declared body. */
export const depthLimit = 64;

/** How many elements, or values in CBOR, a body may have: each costs far more time than in JSON. */
export const valueLimit = 20_000;

/** Attributes with a meaning; any other would be lost. */
const attributeNames = ['type', 'name', 'encoding', 'nameEncoding'];

interface Open extends TextNode {
  name: string;
  encoding: string | undefined;
}

function jsonText(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'string') return value;
  } catch {
    // The same as any other value.
  }
  throw malformedBody('A text with the encoding "json" must be a JSON string.');
}

function assertMeaning(attribute: string): void {
  if (attributeNames.includes(attribute) || /^xmlns(?::|$)/.test(attribute)) return;
  throw malformedBody(`The attribute "${attribute.slice(0, 100)}" has no meaning here.`);
}

function elementOf(name: string, attributes: Readonly<Record<string, string>>): Open {
  const { type, name: given, encoding, nameEncoding } = attributes;
  const plain = given ?? name;
  return {
    name: nameEncoding === 'json' ? jsonText(plain) : plain,
    ...{ type, encoding, text: '', members: [] },
  };
}

/** The element is complete: its text is either its value or the space between its members. */
function completed(element: Open): TextNode {
  const { type, encoding, text, members } = element;
  const isContainer = members.length > 0 || type === 'list' || type === 'object';
  if (isContainer && text.trim() !== '')
    throw malformedBody(`"${element.name.slice(0, 100)}" has both elements and a text.`);
  return { type, members, text: isContainer ? '' : encoding === 'json' ? jsonText(text) : text };
}

/** The root element of the document. */
export function readXml(text: string): TextNode {
  const open: Open[] = [];
  let root: TextNode | undefined;
  let elements = 0;
  const parser = new SaxesParser();
  parser.on('error', (cause) => {
    throw malformedBody('The body is not well-formed XML.', { cause });
  });
  parser.on('doctype', () => {
    throw malformedBody('A document type is not accepted.');
  });
  // At once: to collect a hundred thousand of them takes long.
  parser.on('attribute', ({ name }) => {
    assertMeaning(name);
  });
  parser.on('opentag', ({ name, attributes }) => {
    if (open.length >= depthLimit) throw malformedBody(`More than ${depthLimit} levels are not accepted.`);
    elements += 1;
    if (elements > valueLimit) throw malformedBody(`More than ${valueLimit} elements are not accepted.`);
    open.push(elementOf(name, attributes));
  });
  const append = (part: string) => {
    const at = open.at(-1);
    if (at !== undefined) at.text += part;
  };
  parser.on('text', append);
  parser.on('cdata', append);
  parser.on('closetag', () => {
    const element = open.pop();
    if (element === undefined) return;
    const node = completed(element);
    const parent = open.at(-1);
    if (parent === undefined) root = node;
    else parent.members.push([element.name, node]);
  });
  parser.write(text).close();
  if (root === undefined) throw malformedBody('The body is not well-formed XML.');
  return root;
}
