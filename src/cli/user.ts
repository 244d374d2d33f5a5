/** copse user */
import type { Command } from 'commander';
import type { Client } from '../client/client.js';
import type { CurrentUser, User } from '../model/user.js';
import { repeatable } from './change.js';
import { listVerb } from './list.js';
import { idIn, segment } from './lookup.js';
import { type Column, formatOf, printOne } from './output.js';
import { print } from './terminal.js';
import { type CommonFlags, connect, printing, verb } from './verb.js';

const columns: Column<User>[] = [
  { name: 'name', value: ({ metadata }) => metadata.name },
  { name: 'active', value: ({ spec }) => spec.active },
  { name: 'created', value: ({ metadata }) => metadata.creationTime, kind: 'time' },
  { name: 'id', value: ({ metadata }) => metadata.id },
  { name: 'description', value: ({ metadata }) => metadata.description, hidden: true },
];

const ownColumns: Column<CurrentUser>[] = [
  { name: 'name', value: ({ metadata }) => metadata.name },
  { name: 'id', value: ({ metadata }) => metadata.id },
  { name: 'superuser', value: ({ status }) => status.superUser },
  {
    name: 'projects',
    value: ({ status }) => status.projects.map(({ name, role }) => `${name} (${role})`).join(', '),
  },
];

export function addVerbs(noun: Command): void {
  listVerb(noun, 'list', 'list users (superusers only)', 'copse user list', {
    columns,
    source: '/api/v2/users',
  });
  printing(verb(noun, 'show [user]', 'show a user, or yourself', 'copse user show')).action(show);
  printing(
    repeatable(verb(noun, 'create <name>', 'create a user (superusers only)', 'copse user create ann')),
  )
    .option('--description <text>', 'who it is')
    .action(create);
  addActivation(noun, 'activate', true);
  addActivation(noun, 'deactivate', false);
}

export async function userPath(client: Client, name: string | undefined): Promise<string> {
  const id =
    name === undefined
      ? (await client.get<CurrentUser>('/api/v2/user')).body.metadata.id
      : await idIn(client, 'user', name);
  return `/api/v2/users/${segment(id)}`;
}

async function show(name: string | undefined, flags: CommonFlags): Promise<void> {
  if (name === undefined) {
    const format = formatOf(flags, ownColumns);
    return printOne((await connect(flags).get<CurrentUser>('/api/v2/user')).body, format);
  }
  const format = formatOf(flags, columns);
  const client = connect(flags);
  return printOne((await client.get<User>(await userPath(client, name))).body, format);
}

async function create(
  name: string,
  flags: CommonFlags & { description?: string; idempotencyKey?: string },
): Promise<void> {
  const format = formatOf(flags, columns);
  const metadata = { name, ...(flags.description === undefined ? {} : { description: flags.description }) };
  const idempotencyKey = flags.idempotencyKey ?? crypto.randomUUID();
  const { body } = await connect(flags).post<User>('/api/v2/users', { metadata }, { idempotencyKey });
  if (flags.output === undefined)
    await print(
      `Created ${name} (${body.metadata.id}). Its first key: copse apikey create main --user ${name}\n`,
    );
  else await printOne(body, format);
}

function addActivation(noun: Command, name: string, active: boolean): void {
  const summary = active ? 'let a user in again' : 'refuse the credentials of a user';
  verb(noun, `${name} <user>`, `${summary} (superusers only)`, `copse user ${name} ann`).action(
    async (user: string, flags: CommonFlags) => {
      const client = connect(flags);
      await client.patch(await userPath(client, user), { spec: { active } });
      await print(`${user} is ${active ? 'active' : 'inactive'}.\n`);
    },
  );
}
