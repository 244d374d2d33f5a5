/** The forms in which resources are printed. */
import { closest } from 'fastest-levenshtein';
import { usageError } from './failure.js';
import { print, relative, styled, type Style, visible } from './terminal.js';

export interface Column<T> {
  name: string;
  value: (item: T) => unknown;
  /** `time`: relative in tables; `state`: coloured. */
  kind?: 'time' | 'state';
  /** Shown only on demand. */
  hidden?: boolean;
}

export interface OutputFlags {
  output?: string;
  columns?: string;
}

const forms = ['table', 'json', 'yaml', 'csv', 'name'] as const;
type Form = (typeof forms)[number] | 'template';

export interface Format<T> {
  form: Form;
  template: string;
  columns: Column<T>[];
}

/** Checks the flags, so that nothing is sent with a wrong one. */
export function formatOf<T>({ output = 'table', columns }: OutputFlags, known: Column<T>[]): Format<T> {
  const [, template] = /^template=(.*)$/s.exec(output) ?? [];
  if (template === undefined && !(forms as readonly string[]).includes(output)) {
    throw usageError(
      `-o ${output}: the formats are ${forms.join(', ')} and template=TEXT.`,
      `Did you mean ${closest(output, [...forms])}?`,
    );
  }
  const chosen =
    columns === undefined
      ? known.filter(({ hidden }) => hidden !== true)
      : columns.split(',').map((name) => columnNamed(name.trim(), known));
  return {
    form: template === undefined ? (output as Form) : 'template',
    template: (template ?? '').replaceAll('\\n', '\n').replaceAll('\\t', '\t'),
    columns: chosen,
  };
}

/** A column, or the path of a member, such as `metadata.name`. */
export function columnNamed<T>(name: string, known: Column<T>[]): Column<T> {
  const found = known.find((column) => column.name === name.toLowerCase());
  if (found !== undefined) return found;
  if (/^[A-Za-z]+(\.[\w-]+)+$/.test(name)) return { name, value: (item) => memberAt(item, name) };
  const names = known.map((column) => column.name);
  throw usageError(
    `There is no column "${name}". The columns are ${names.join(', ')}; the path of a member works too, such as metadata.name.`,
    `Did you mean ${closest(name.toLowerCase(), names)}?`,
  );
}

export function memberAt(item: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (at, name) =>
        typeof at === 'object' && at !== null && Object.hasOwn(at, name)
          ? (at as Record<string, unknown>)[name]
          : undefined,
      item,
    );
}

export function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  return JSON.stringify(value);
}

const styles: readonly [Style, RegExp][] = [
  ['green', /^(running|provisioned|succeeded|active|ready|healthy)$/i],
  ['red', /^(error|failed)$/i],
  [
    'yellow',
    /^(pending|queued|building|stopping|rebuilding|provisioning|deprovisioning|degraded|creating)$/i,
  ],
  ['dim', /^(stopped|cancelled|inactive|disabled|unknown)$/i],
];

function styleOf(text: string): Style | undefined {
  return styles.find(([, pattern]) => pattern.test(text))?.[0];
}

function cellOf<T>(item: T, { value, kind }: Column<T>): string {
  const text = textOf(value(item));
  return text === '' ? '-' : visible(kind === 'time' ? relative(text) : text);
}

function rowOf<T>(
  cells: readonly string[],
  widths: readonly number[],
  columns: readonly Column<T>[],
): string {
  const padded = cells.map((cell, index) => {
    const width = index === cells.length - 1 ? 0 : (widths[index] ?? 0);
    const text = cell.padEnd(width);
    return columns[index]?.kind === 'state' ? styled(text, styleOf(cell)) : text;
  });
  return `${padded.join('  ').trimEnd()}\n`;
}

function csvCell(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** What identifies the item for people and for other commands. */
export function nameOf(item: unknown): string {
  const name = memberAt(item, 'metadata.name') ?? memberAt(item, 'name');
  return textOf(name ?? memberAt(item, 'metadata.id') ?? memberAt(item, 'id'));
}

export function filled(template: string, item: unknown): string {
  return template.replaceAll(/\{\{\s*\.?([\w.-]+)\s*\}\}/g, (_, path: string) =>
    textOf(memberAt(item, path)),
  );
}

/** A list that is printed page by page; what a page needs is forgotten after it. */
export class ListPrinter<T> {
  readonly #format: Format<T>;
  #widths: number[] = [];
  #count = 0;

  constructor(format: Format<T>) {
    this.#format = format;
  }

  async page(items: readonly T[]): Promise<void> {
    const { form } = this.#format;
    if (items.length === 0) return;
    if (form === 'table') await this.#table(items);
    else if (form === 'json') await this.#json(items);
    else if (form === 'yaml') await this.#yaml(items);
    else await print(items.map((item) => this.#line(item)).join(''));
    this.#count += items.length;
  }

  /** Completes the document, also an empty one. */
  async end(): Promise<void> {
    const { form, columns } = this.#format;
    if (form === 'json') await print(this.#count === 0 ? '[]\n' : '\n]\n');
    if (this.#count > 0) return;
    if (form === 'yaml') await print('[]\n');
    if (form === 'csv') await print(header(columns));
  }

  #line(item: T): string {
    const { form, template, columns } = this.#format;
    if (form === 'name') return `${nameOf(item)}\n`;
    if (form === 'template') return `${filled(template, item)}\n`;
    const cells = `${columns.map(({ value }) => csvCell(textOf(value(item)))).join(',')}\n`;
    const isFirst = this.#count === 0 && this.#widths.length === 0;
    this.#widths = [1];
    return isFirst ? header(columns) + cells : cells;
  }

  async #table(items: readonly T[]): Promise<void> {
    const { columns } = this.#format;
    const cells = items.map((item) => columns.map((column) => cellOf(item, column)));
    const titles = columns.map(({ name }) => name.toUpperCase());
    const isFirst = this.#count === 0;
    this.#widths = titles.map((title, index) =>
      Math.max(title.length, this.#widths[index] ?? 0, ...cells.map((row) => row[index]?.length ?? 0)),
    );
    const rows = cells.map((row) => rowOf(row, this.#widths, columns)).join('');
    const head = titles.map((title, index) => title.padEnd(this.#widths[index] ?? 0)).join('  ');
    await print(isFirst ? `${styled(head.trimEnd(), 'bold')}\n${rows}` : rows);
  }

  async #json(items: readonly T[]): Promise<void> {
    const text = items.map((item) => JSON.stringify(item, null, 2).replaceAll(/^/gm, '  ')).join(',\n');
    await print(`${this.#count === 0 ? '[\n' : ',\n'}${text}`);
  }

  async #yaml(items: readonly T[]): Promise<void> {
    const { stringify } = await import('./yaml.js');
    await print(stringify(items));
  }
}

function header<T>(columns: readonly Column<T>[]): string {
  return `${columns.map(({ name }) => csvCell(name)).join(',')}\n`;
}

/** One resource: the columns one below the other, or the form that the flags name. */
export async function printOne<T>(item: T, { form, template, columns }: Format<T>): Promise<void> {
  if (form === 'json') return print(`${JSON.stringify(item, null, 2)}\n`);
  if (form === 'yaml') return print((await import('./yaml.js')).stringify(item));
  if (form === 'name') return print(`${nameOf(item)}\n`);
  if (form === 'template') return print(`${filled(template, item)}\n`);
  if (form === 'csv') {
    const printer = new ListPrinter({ form, template, columns });
    await printer.page([item]);
    return printer.end();
  }
  const width = Math.max(...columns.map(({ name }) => name.length));
  const lines = columns.map((column) => {
    const raw = textOf(column.value(item));
    const cell = cellOf(item, column);
    const text = column.kind === 'time' && raw !== '' ? `${raw} (${cell})` : cell;
    return `${styled(column.name.padEnd(width), 'bold')}  ${column.kind === 'state' ? styled(text, styleOf(cell)) : text}\n`;
  });
  return print(lines.join(''));
}
