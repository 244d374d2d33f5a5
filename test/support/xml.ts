/** XML documents of the API as the JSON values they stand for (docs/representations.md), read strictly. */
import { SaxesParser } from 'saxes';

interface Element {
  name: string;
  attributes: Record<string, string>;
  text: string;
  children: Element[];
}

/** The root element. Throws unless the text is one well-formed document. */
export function xmlElement(text: string): Element {
  const top: Element = { name: '', attributes: {}, text: '', children: [] };
  const open = [top];
  const parser = new SaxesParser();
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', ({ name, attributes }) => {
    const element = { name, attributes: { ...attributes }, text: '', children: [] };
    open.at(-1)?.children.push(element);
    open.push(element);
  });
  parser.on('text', (part) => {
    const at = open.at(-1);
    if (at !== undefined) at.text += part;
  });
  parser.on('closetag', () => open.pop());
  parser.write(text).close();
  const [root] = top.children;
  if (root === undefined) throw new Error('no root element');
  return root;
}

export function xmlValue(element: Element): unknown {
  const { attributes, text, children } = element;
  switch (attributes['type']) {
    case 'null':
      return null;
    case 'number':
      return Number(text);
    case 'boolean':
      return text === 'true';
    case 'list':
      return children.map(xmlValue);
    case undefined:
    case 'object':
      break;
    default:
      throw new Error(`type ${attributes['type']}`);
  }
  if (children.length === 0 && attributes['type'] === undefined)
    return attributes['encoding'] === 'json' ? JSON.parse(text) : text;
  return Object.fromEntries(
    children.map((child) => {
      const { name = child.name, nameEncoding } = child.attributes;
      return [nameEncoding === 'json' ? (JSON.parse(name) as string) : name, xmlValue(child)];
    }),
  );
}
