/** copse project, and copse project member */
import type { Command } from 'commander';
import type { Client } from '../client/client.js';
import type { Member } from '../model/member.js';
import type { Project } from '../model/project.js';
import { confirm, confirming, repeatable } from './change.js';
import { CliError } from './failure.js';
import { listVerb } from './list.js';
import { idIn, segment } from './lookup.js';
import { type Column, formatOf, printOne } from './output.js';
import { print } from './terminal.js';
import { type CommonFlags, connect, printing, verb } from './verb.js';

const columns: Column<Project>[] = [
  { name: 'name', value: ({ metadata }) => metadata.name },
  { name: 'status', value: ({ metadata }) => metadata.provisioningStatus, kind: 'state' },
  { name: 'enabled', value: ({ spec }) => spec.enabled },
  { name: 'created', value: ({ metadata }) => metadata.creationTime, kind: 'time' },
  { name: 'id', value: ({ metadata }) => metadata.id },
  { name: 'organization', value: ({ metadata }) => metadata.organizationId, hidden: true },
  { name: 'description', value: ({ metadata }) => metadata.description, hidden: true },
];

const memberColumns: Column<Member>[] = [
  { name: 'user', value: ({ userId }) => userId },
  { name: 'role', value: ({ role }) => role },
];

interface CreateFlags extends CommonFlags {
  organization?: string;
  description?: string;
  idempotencyKey?: string;
}

export function addVerbs(noun: Command): void {
  listVerb(noun, 'list', 'list your projects', 'copse project list', { columns, source: '/api/v2/projects' });
  printing(verb(noun, 'show <project>', 'show a project', 'copse project show default')).action(show);
  printing(repeatable(verb(noun, 'create <name>', 'create a project', 'copse project create orchard')))
    .option('--organization <organization>', 'whose it is (default: that of your projects)')
    .option('--description <text>', 'what it is for')
    .action(create);
  confirming(
    verb(
      noun,
      'delete <project>',
      'delete a project without instances',
      'copse project delete orchard --yes',
    ),
  ).action(async (name: string, flags: CommonFlags & { yes?: boolean }) => {
    await confirm(`Delete the project ${name}?`, flags);
    const client = connect(flags);
    await client.delete(await pathOf(client, name));
    await print(`Deleted ${name}.\n`);
  });
  addMemberVerbs(noun.command('member').description('manage the members of a project'));
}

async function pathOf(client: Client, name: string): Promise<string> {
  return `/api/v2/projects/${segment(await idIn(client, 'project', name))}`;
}

async function show(name: string, flags: CommonFlags): Promise<void> {
  const format = formatOf(
    flags,
    columns.map(({ hidden: _, ...column }) => column),
  );
  const client = connect(flags);
  await printOne((await client.get<Project>(await pathOf(client, name))).body, format);
}

async function create(name: string, flags: CreateFlags): Promise<void> {
  const format = formatOf(flags, columns);
  const client = connect(flags);
  const organizationId =
    flags.organization === undefined
      ? await onlyOrganization(client)
      : await idIn(client, 'organization', flags.organization);
  const metadata = { name, ...(flags.description === undefined ? {} : { description: flags.description }) };
  const body = { metadata, spec: { organizationId } };
  const idempotencyKey = flags.idempotencyKey ?? crypto.randomUUID();
  const { body: project } = await client.post<Project>('/api/v2/projects', body, { idempotencyKey });
  if (flags.output === undefined) await print(`Created ${name} (${project.metadata.id}).\n`);
  else await printOne(project, format);
}

async function onlyOrganization(client: Client): Promise<string> {
  const ids = new Set<string>();
  for await (const { metadata } of client.items<Project>('/api/v2/projects?limit=1000'))
    ids.add(metadata.organizationId);
  const [only] = ids;
  if (only === undefined || ids.size > 1)
    throw new CliError('usage', 'The organization is not clear.', 'Name it with --organization.');
  return only;
}

function addMemberVerbs(noun: Command): void {
  listVerb<Member>(noun, 'list <project>', 'list members', 'copse project member list orchard', {
    columns: memberColumns,
    filters: { role: { parameter: 'role' } },
    source: async (client, _flags, [name = '']) => `${await pathOf(client, name)}/members`,
  });
  verb(noun, 'add <project> <user>', 'add a member', 'copse project member add orchard ann --role operator')
    .option('--role <role>', 'reader, operator or admin', 'operator')
    .action(async (name: string, user: string, flags: CommonFlags & { role: string }) => {
      const client = connect(flags);
      const userId = await idIn(client, 'user', user);
      const idempotencyKey = crypto.randomUUID();
      const body = { userId, role: flags.role };
      await client.post(`${await pathOf(client, name)}/members`, body, { idempotencyKey });
      await print(`Added ${user} as ${flags.role}.\n`);
    });
  verb(
    noun,
    'set <project> <user>',
    'change the role of a member',
    'copse project member set orchard ann --role admin',
  )
    .requiredOption('--role <role>', 'reader, operator or admin')
    .action(async (name: string, user: string, flags: CommonFlags & { role: string }) => {
      const client = connect(flags);
      const userId = await idIn(client, 'user', user);
      await client.put(`${await pathOf(client, name)}/members/${segment(userId)}`, { role: flags.role });
      await print(`${user} is now ${flags.role}.\n`);
    });
  verb(noun, 'remove <project> <user>', 'remove a member', 'copse project member remove orchard ann').action(
    async (name: string, user: string, flags: CommonFlags) => {
      const client = connect(flags);
      const userId = await idIn(client, 'user', user);
      await client.delete(`${await pathOf(client, name)}/members/${segment(userId)}`);
      await print(`Removed ${user}.\n`);
    },
  );
}
