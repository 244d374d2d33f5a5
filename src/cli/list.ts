/** Commands that print lists. */
import type { Command } from 'commander';
import { closest } from 'fastest-levenshtein';
import type { Client } from '../client/client.js';
import { linksOf } from '../model/link-header.js';
import { usageError } from './failure.js';
import { type Column, columnNamed, type Format, formatOf, ListPrinter, textOf } from './output.js';
import { note } from './terminal.js';
import { collect, type CommonFlags, connect, pairOf, printing, verb, wholeNumber } from './verb.js';

/** A filter of the server: its parameter, and how a name becomes the id that it takes. */
export interface Filter {
  parameter: string;
  resolve?: (client: Client, text: string) => Promise<string>;
}

export interface Listing<T> {
  columns: Column<T>[];
  /** The path of the list, or the items of one that has no pages. */
  source: string | ((client: Client, flags: ListFlags, args: string[]) => Promise<string | T[]>);
  filters?: Record<string, Filter>;
  /** Orders of the server. */
  sorts?: string[];
}

export interface ListFlags extends CommonFlags {
  filter?: string[];
  sort?: string;
  limit?: string;
  all?: boolean;
  [more: string]: unknown;
}

/** Items on a page: by default, and where all are read. */
const usual = 50;
const largest = 1000;

export function listVerb<T>(
  noun: Command,
  usage: string,
  summary: string,
  examples: string | string[],
  listing: Listing<T>,
): Command {
  const names = listing.columns.map(({ name }) => name).join(', ');
  const filters = [
    ...new Set([...Object.keys(listing.filters ?? {}), ...listing.columns.map((c) => c.name)]),
  ];
  return printing(verb(noun, usage, summary, examples))
    .option('--filter <name=value>', `only matching ones: ${filters.join(', ')}`, collect)
    .option('--sort <column>', 'the order; "-" before the name reverses it')
    .option('--limit <number>', `how many at most (default: ${usual})`)
    .option('--all', 'all of them, page by page')
    .addHelpText('after', `\nColumns: ${names}`)
    .action(async (...given: unknown[]) => {
      const args = given.slice(0, -2).map(String);
      await list(listing, given.at(-2) as ListFlags, args);
    });
}

interface Query<T> {
  server: [string, Filter, string][];
  local: [Column<T>, string][];
  sort: { column: Column<T>; descending: boolean } | undefined;
  serverSort: string | undefined;
  limit: number;
}

function queryOf<T>({ columns, filters = {}, sorts = [] }: Listing<T>, flags: ListFlags): Query<T> {
  const server: Query<T>['server'] = [];
  const local: Query<T>['local'] = [];
  for (const text of flags.filter ?? []) {
    const [name, value] = pairOf(text, '--filter');
    const known = Object.hasOwn(filters, name) ? filters[name] : undefined;
    if (known !== undefined) server.push([name, known, value]);
    else local.push([filterColumn(name, columns, Object.keys(filters)), value]);
  }
  const descending = flags.sort?.startsWith('-') ?? false;
  const order = descending ? flags.sort?.slice(1) : flags.sort;
  const serverSort = order !== undefined && sorts.includes(order) ? order : undefined;
  const column = order === undefined ? undefined : columnNamed(order, columns);
  return {
    server,
    local,
    sort: column === undefined ? undefined : { column, descending },
    serverSort,
    limit: flags.limit === undefined ? usual : wholeNumber(flags.limit, '--limit', 1, 1_000_000),
  };
}

function filterColumn<T>(name: string, columns: Column<T>[], filters: string[]): Column<T> {
  if (name.includes('.')) return columnNamed(name, columns);
  const column = columns.find((one) => one.name === name);
  if (column !== undefined) return column;
  const known = [...new Set([...filters, ...columns.map((one) => one.name)])];
  throw usageError(
    `There is no filter "${name}". The filters are ${known.join(', ')}.`,
    `Did you mean ${closest(name, known)}?`,
  );
}

async function list<T>(listing: Listing<T>, flags: ListFlags, args: string[]): Promise<void> {
  const format = formatOf(flags, listing.columns);
  const query = queryOf(listing, flags);
  const client = connect(flags);
  const { source } = listing;
  const from = typeof source === 'string' ? source : await source(client, flags, args);
  const all = flags.all === true;
  if (typeof from !== 'string') {
    const items = sorted(matching(from, query), query);
    await printAll(all || flags.limit === undefined ? items : items.slice(0, query.limit), format);
    return;
  }
  // A condition that only this program knows needs all pages, and an order of its own also all items at once.
  const readsAll = all || query.local.length > 0 || query.limit > largest;
  const path = await pathOf(client, from, query, readsAll ? largest : query.limit);
  if (query.sort !== undefined && query.serverSort === undefined) {
    const items: T[] = [];
    for await (const item of client.items<T>(path)) items.push(item);
    const chosen = sorted(matching(items, query), query);
    await printAll(all ? chosen : chosen.slice(0, query.limit), format);
    return;
  }
  await printPages(client, path, { format, query, most: all ? Infinity : query.limit });
}

async function pathOf<T>(client: Client, path: string, query: Query<T>, limit: number): Promise<string> {
  const [base = '', given = ''] = path.split('?');
  const parameters = new URLSearchParams(given);
  const values = await Promise.all(
    query.server.map(async ([, { parameter, resolve }, value]) => ({
      parameter,
      value: resolve === undefined ? value : await resolve(client, value),
    })),
  );
  for (const { parameter, value } of values) parameters.append(parameter, value);
  if (query.serverSort !== undefined) parameters.set('sort', query.serverSort);
  if (query.serverSort !== undefined && query.sort?.descending === true) parameters.set('descending', 'true');
  parameters.set('limit', String(limit));
  return `${base}?${parameters.toString()}`;
}

async function printPages<T>(
  client: Client,
  path: string,
  { format, query, most }: { format: Format<T>; query: Query<T>; most: number },
): Promise<void> {
  const printer = new ListPrinter(format);
  let left = most;
  for await (const { headers, body } of client.pages<T>(path)) {
    const items = matching(body, query);
    await printer.page(items.slice(0, left));
    const more = items.length > left || linksOf(headers.get('link')).has('next');
    left -= items.length;
    if (left > 0) continue;
    await printer.end();
    if (more) note('More follow: --all prints all of them, --limit NUMBER more of them.');
    return;
  }
  await printer.end();
}

async function printAll<T>(items: readonly T[], format: Format<T>): Promise<void> {
  const printer = new ListPrinter(format);
  await printer.page(items);
  await printer.end();
}

function matching<T>(items: readonly T[], { local }: Query<T>): T[] {
  return items.filter((item) => local.every(([{ value }, wanted]) => textOf(value(item)) === wanted));
}

function sorted<T>(items: T[], { sort }: Query<T>): T[] {
  if (sort === undefined) return items;
  const { column, descending } = sort;
  const order = (a: T, b: T) => compare(column.value(a), column.value(b));
  return items.sort((a, b) => (descending ? order(b, a) : order(a, b)));
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const [left, right] = [textOf(a), textOf(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
