/**
 * JSON values as XML documents, without loss: a value that is not a string says its type in an attribute. How a
 * member's name is written if it is no XML name, and a text that XML cannot contain, is in docs/representations.md.
 */

export interface XmlForm {
  /** Name of the root element. */
  root: string;
  namespace?: string;
  /** Name of the elements of a list. */
  item?: string;
  /** False: without the types. */
  typed?: boolean;
}

/** XML 1.0 names without colons, in ASCII: namespaces have no counterpart in JSON, and a name must be predictable. */
const namePattern = /^(?!xml)[A-Za-z_][\w.-]*$/i;

/** What XML 1.0 cannot contain, even escaped; a carriage return could, but many parsers turn it into a line feed. */
const unfit = /[\u0000-\u0008\u000b-\u001f\ufffe\uffff]|\p{Surrogate}/u;

const escapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** The text as JSON, which escapes less than must be escaped here. */
function asJson(text: string): string {
  return JSON.stringify(text).replaceAll(/[\ufffe\uffff]/g, (one) => `\\u${one.charCodeAt(0).toString(16)}`);
}

function escaped(text: string): string {
  return /[&<>"]/.test(text) ? text.replaceAll(/[&<>"]/g, (one) => escapes[one] ?? '') : text;
}

/** The name and the attributes of a member's element. */
function opening(name: string): [element: string, attributes: string] {
  if (namePattern.test(name) && name !== 'member') return [name, ''];
  // Parsers turn white space in attributes into blanks.
  const plain = !unfit.test(name) && !/[\t\n]/.test(name);
  const written = escaped(plain ? name : asJson(name));
  return ['member', ` name="${written}"${plain ? '' : ' nameEncoding="json"'}`];
}

class Writer {
  readonly #item: string;
  readonly #typed: boolean;

  constructor({ item = 'item', typed = true }: XmlForm) {
    this.#item = item;
    this.#typed = typed;
  }

  element(name: string, attributes: string, value: unknown): string {
    const [more, content] = this.#inside(value);
    const start = `<${name}${attributes}${more}`;
    return content === '' ? `${start}/>` : `${start}>${content}</${name}>`;
  }

  /** Attributes and content. */
  #inside(value: unknown): [attributes: string, content: string] {
    if (typeof value === 'string') {
      if (unfit.test(value)) return [' encoding="json"', escaped(asJson(value))];
      return ['', escaped(value)];
    }
    if (Array.isArray(value))
      return [this.#type('list'), value.map((one) => this.element(this.#item, '', one)).join('')];
    if (value === null) return [this.#type('null'), ''];
    if (typeof value !== 'object') return [this.#type(typeof value), JSON.stringify(value)];
    const members = Object.entries(value).map(([name, member]) => this.element(...opening(name), member));
    return [members.length === 0 ? this.#type('object') : '', members.join('')];
  }

  #type(type: string): string {
    return this.#typed ? ` type="${type}"` : '';
  }
}

/** The document of a value that has come from JSON. */
export function xmlOf(value: unknown, form: XmlForm): string {
  const namespace = form.namespace === undefined ? '' : ` xmlns="${form.namespace}"`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n${new Writer(form).element(form.root, namespace, value)}\n`;
}
