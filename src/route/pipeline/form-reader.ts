/** Request bodies as a page's form sends them (application/x-www-form-urlencoded): `metadata[name]=web&ports[]=80`. */
import { malformedBody, type TextNode } from './text-tree.js';
import { depthLimit } from './xml-reader.js';

const fieldLimit = 1000;

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch (cause) {
    throw malformedBody('The body is not a well-formed form in UTF-8.', { cause });
  }
}

/** The names of the path: `a[b][]` is a, b and an element of the list b. */
function pathOf(key: string): string[] {
  const [, first = '', rest = ''] = /^([^[\]]+)((?:\[[^[\]]*\])*)$/.exec(key) ?? [];
  if (first === '')
    throw malformedBody(`The field "${key.slice(0, 100)}" is not named like metadata[name] or list[].`);
  const path = [first, ...[...rest.matchAll(/\[([^[\]]*)\]/g)].map(([, name = '']) => name)];
  if (path.length > depthLimit) throw malformedBody(`More than ${depthLimit} levels are not accepted.`);
  return path;
}

function put(root: TextNode, path: readonly string[], text: string): void {
  let at = root;
  for (const [index, name] of path.entries()) {
    const isLast = index === path.length - 1;
    const known = isLast || name === '' ? undefined : at.members.findLast(([other]) => other === name)?.[1];
    const next: TextNode = known ?? { text: isLast ? text : '', members: [] };
    if (known === undefined) at.members.push([name, next]);
    at = next;
  }
}

export function readForm(text: string): TextNode {
  const root: TextNode = { text: '', members: [] };
  const fields = text.split('&', fieldLimit + 1).filter((field) => field !== '');
  if (fields.length > fieldLimit) throw malformedBody(`More than ${fieldLimit} fields are not accepted.`);
  for (const field of fields) {
    const at = field.indexOf('=');
    const [key, value] = at < 0 ? [field, ''] : [field.slice(0, at), field.slice(at + 1)];
    put(root, pathOf(decoded(key)), decoded(value));
  }
  return root;
}
