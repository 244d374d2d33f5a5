/** copse context: several sites, with their keys. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { contextNamed, findTarget, readContexts, serverUrl, writeContexts } from './connection.js';
import { usageError } from './failure.js';
import { type Column, formatOf, ListPrinter, type OutputFlags } from './output.js';
import { print } from './terminal.js';
import { described, printing } from './verb.js';

interface Row {
  name: string;
  url: string;
  key: string;
  current: string;
}

const columns: Column<Row>[] = [
  { name: 'current', value: ({ current }) => current },
  { name: 'name', value: ({ name }) => name },
  { name: 'url', value: ({ url }) => url },
  { name: 'key', value: ({ key }) => key },
];

export function addVerbs(noun: Command): void {
  described(noun.command('add <name>'), 'remember a site, with its key', [
    'copse context add lab --url https://copse.example.com --key-file lab.key',
    'echo "$KEY" | copse context add lab --url https://copse.example.com --key-file -',
  ])
    .requiredOption('--url <url>', 'address of the server')
    .option(
      '--key-file <file>',
      'file with the key; - reads standard input (default: COPSE_API_KEY at each use)',
    )
    .action(add);
  described(noun.command('use <name>'), 'use this site from now on', 'copse context use lab').action(use);
  printing(described(noun.command('list'), 'list the sites', 'copse context list')).action(list);
  described(noun.command('remove <name>'), 'forget a site', 'copse context remove lab').action(remove);
}

function keyIn(file: string): string {
  try {
    const key = readFileSync(file === '-' ? 0 : file, 'utf8').trim();
    if (/^[\x21-\x7e]{8,}$/.test(key)) return key;
  } catch (error) {
    throw usageError(`--key-file ${file}: ${(error as NodeJS.ErrnoException).code ?? 'it cannot be read'}.`);
  }
  throw usageError(`--key-file ${file}: it does not contain one key.`);
}

async function add(name: string, { url, keyFile }: { url: string; keyFile?: string }): Promise<void> {
  if (!/^[A-Za-z0-9][\w.-]{0,62}$/.test(name))
    throw usageError(`"${name}" is no name: up to 63 letters, digits, ".", "_" and "-" are expected.`);
  const known = readContexts();
  const key = keyFile === undefined ? {} : { key: keyIn(keyFile) };
  known.contexts[name] = { url: serverUrl(url, '--url'), ...key };
  known.current ??= name;
  const file = writeContexts(known);
  await print(
    `Added ${name} to ${file}.${known.current === name ? ' It is in use.' : ` Use it: copse context use ${name}`}\n`,
  );
}

async function use(name: string): Promise<void> {
  const known = readContexts();
  const { url } = contextNamed(known, name);
  writeContexts({ ...known, current: name });
  await print(`Using ${name} (${url}).\n`);
}

async function remove(name: string): Promise<void> {
  const known = readContexts();
  contextNamed(known, name);
  const contexts = Object.fromEntries(Object.entries(known.contexts).filter(([one]) => one !== name));
  const { current } = known;
  writeContexts({ ...(current === undefined || current === name ? {} : { current }), contexts });
  await print(`Removed ${name}.\n`);
}

async function list(flags: OutputFlags): Promise<void> {
  const format = formatOf(flags, columns);
  const known = readContexts();
  const rows = Object.entries(known.contexts).map(([name, { url, key }]) => ({
    name,
    url,
    key: key === undefined ? 'COPSE_API_KEY' : 'kept',
    current: name === known.current ? '*' : '',
  }));
  const printer = new ListPrinter(format);
  await printer.page(rows);
  await printer.end();
  if (known.current !== undefined || format.form !== 'table') return;
  const { url, from } = findTarget({});
  await print(`No context is in use; commands go to ${url} (${from}).\n`);
}
