/** copse apikey: keys for the API. */
import type { Command } from 'commander';
import type { Client } from '../client/client.js';
import type { ApiKey, NewApiKey } from '../model/api-key.js';
import { confirm, confirming } from './change.js';
import { expiryOf } from './input.js';
import { listVerb } from './list.js';
import { pick, segment } from './lookup.js';
import { type Column, formatOf, printOne } from './output.js';
import { note, print } from './terminal.js';
import { userPath } from './user.js';
import { type CommonFlags, connect, printing, verb, wholeNumber } from './verb.js';

const columns: Column<ApiKey>[] = [
  { name: 'name', value: ({ metadata }) => metadata.name },
  { name: 'created', value: ({ metadata }) => metadata.creationTime, kind: 'time' },
  { name: 'expires', value: ({ metadata }) => metadata.expiry, kind: 'time' },
  { name: 'used', value: ({ status }) => status?.lastUsedTime, kind: 'time' },
  { name: 'id', value: ({ metadata }) => metadata.id },
];

interface KeyFlags extends CommonFlags {
  user?: string;
  expires?: string;
  overlap?: string;
  yes?: boolean;
}

const whose = ['--user <user>', 'whose key (default: your own)'] as const;

export function addVerbs(noun: Command): void {
  listVerb<ApiKey>(noun, 'list', 'list API keys', 'copse apikey list', {
    columns,
    source: async (client, { user }) => `${await userPath(client, user as string | undefined)}/apikeys`,
  }).option(...whose);
  printing(
    verb(
      noun,
      'create <name>',
      'create an API key, and print it once',
      'copse apikey create ci --expires 30d',
    ),
  )
    .option(...whose)
    .option('--expires <time>', 'when it is refused, such as 2027-01-31T12:00:00Z, or 8h, or 30d')
    .action(create);
  printing(
    verb(noun, 'rotate <name>', 'replace the secret of a key, and print it once', 'copse apikey rotate ci'),
  )
    .option(...whose)
    .option('--overlap <seconds>', 'how long the former secret still works', '0')
    .action(rotate);
  confirming(verb(noun, 'delete <name>', 'delete an API key', 'copse apikey delete ci --yes'))
    .option(...whose)
    .action(async (name: string, flags: KeyFlags) => {
      await confirm(`Delete the key ${name}?`, flags);
      const client = connect(flags);
      await client.delete(await keyPath(client, name, flags.user));
      await print(`Deleted ${name}.\n`);
    });
}

async function keyPath(client: Client, name: string, user: string | undefined): Promise<string> {
  const path = `${await userPath(client, user)}/apikeys`;
  const keys: ApiKey[] = [];
  for await (const key of client.items<ApiKey>(`${path}?limit=1000`)) keys.push(key);
  return `${path}/${segment(pick('apikey', keys, name).metadata.id)}`;
}

/** The key goes to standard output alone, so that it can be kept in a file. */
async function printKey(key: NewApiKey, flags: KeyFlags): Promise<void> {
  if (flags.output !== undefined) return printOne(key, formatOf<NewApiKey>(flags, columns));
  note('It is shown only this once:');
  await print(`${key.key}\n`);
}

async function create(name: string, flags: KeyFlags): Promise<void> {
  formatOf(flags, columns);
  const metadata = { name, ...(flags.expires === undefined ? {} : { expiry: expiryOf(flags.expires) }) };
  const client = connect(flags);
  const { body } = await client.post<NewApiKey>(`${await userPath(client, flags.user)}/apikeys`, {
    metadata,
  });
  await printKey(body, flags);
}

async function rotate(name: string, flags: KeyFlags): Promise<void> {
  formatOf(flags, columns);
  const overlap = wholeNumber(flags.overlap ?? '0', '--overlap', 0, 30 * 24 * 3600);
  const client = connect(flags);
  const { body } = await client.post<NewApiKey>(`${await keyPath(client, name, flags.user)}/rotate`, {
    overlap,
  });
  await printKey(body, flags);
}
