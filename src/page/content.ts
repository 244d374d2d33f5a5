/** The value of a response in HTML. Not a template: a page of a list has tens of thousands of values. */

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (one) => escapes[one] ?? '');
}

export interface Addresses {
  /** Where the text of this member leads; undefined: nowhere. */
  of(name: string, text: string): string | undefined;
  /** Where an item of the list is; undefined: it has no address. */
  ofItem(item: object): string | undefined;
}

/** "creationTime" as "creation time". */
export function worded(name: string): string {
  return name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll(/[_-]+/g, ' ')
    .toLowerCase();
}

function textOf(name: string, text: string, addresses: Addresses): string {
  const href = addresses.of(name, text);
  const shown = text.includes('\n') ? `<pre>${escaped(text)}</pre>` : escaped(text);
  return href === undefined ? shown : `<a href="${escaped(href)}">${shown}</a>`;
}

function valueOf(name: string, value: unknown, addresses: Addresses): string {
  if (value === null) return '–';
  if (typeof value === 'string') return textOf(name, value, addresses);
  if (typeof value !== 'object') return escaped(JSON.stringify(value));
  if (Array.isArray(value)) {
    if (value.length === 0) return 'none';
    return `<ul>${value.map((one) => `<li>${valueOf(name, one, addresses)}</li>`).join('')}</ul>`;
  }
  return membersOf(value, addresses);
}

function membersOf(value: object, addresses: Addresses): string {
  const rows = Object.entries(value).map(
    ([name, member]) => `<dt>${escaped(worded(name))}</dt><dd>${valueOf(name, member, addresses)}</dd>`,
  );
  return rows.length === 0 ? 'empty' : `<dl>${rows.join('')}</dl>`;
}

/** What an item of a list is called. */
export function nameOf(item: object): string | undefined {
  const { metadata, name, id, displayName } = item as Record<string, unknown>;
  if (typeof metadata === 'object' && metadata !== null) return nameOf(metadata);
  return [name, displayName, id].find((one): one is string => typeof one === 'string' && one !== '');
}

function itemOf(item: unknown, index: number, addresses: Addresses): string {
  if (typeof item !== 'object' || item === null) return `<li>${valueOf('', item, addresses)}</li>`;
  const name = escaped(nameOf(item) ?? `${index + 1}`);
  const href = addresses.ofItem(item);
  const heading = href === undefined ? name : `<a href="${escaped(href)}">${name}</a>`;
  return `<li><h2>${heading}</h2>${membersOf(item, addresses)}</li>`;
}

export function contentOf(value: unknown, addresses: Addresses): string {
  if (!Array.isArray(value)) return valueOf('', value, addresses);
  if (value.length === 0) return '<p>The list is empty.</p>';
  return `<ol class="items">${value.map((item, index) => itemOf(item, index, addresses)).join('')}</ol>`;
}
