/** copse instance */
import type { Command } from 'commander';
import type { Image } from '../model/image.js';
import type { Instance } from '../model/instance.js';
import { change, type ChangeFlags, confirm, confirming, planning, repeatable } from './change.js';
import { addInstanceCreate } from './instance-create.js';
import { instanceColumns, pathOf, read, tell } from './instance-print.js';
import { addInstanceWatching } from './instance-watch.js';
import { type Listing, listVerb } from './list.js';
import { flavorsIn, idIn, instanceId, pick, regionId, regionsOf } from './lookup.js';
import { formatOf, printOne } from './output.js';
import { print } from './terminal.js';
import { type CommonFlags, connect, printing, verb } from './verb.js';

const listing: Listing<Instance> = {
  columns: instanceColumns,
  source: '/api/v2/instances',
  sorts: ['name'],
  filters: {
    name: { parameter: 'name' },
    status: { parameter: 'status' },
    power: { parameter: 'powerState' },
    tag: { parameter: 'tag' },
    project: { parameter: 'projectID', resolve: (client, text) => idIn(client, 'project', text) },
    network: { parameter: 'networkID', resolve: (client, text) => idIn(client, 'network', text) },
    region: { parameter: 'regionID', resolve: regionId },
    createdAfter: { parameter: 'createdAfter' },
    createdBefore: { parameter: 'createdBefore' },
  },
};

export function addVerbs(noun: Command): void {
  listVerb(noun, 'list', 'list instances', 'copse instance list --filter power=Running --sort name', listing);
  printing(verb(noun, 'show <instance>', 'show an instance', 'copse instance show web')).action(show);
  addInstanceCreate(noun);
  addPowerVerb(noun, 'start', 'power an instance on', 'Started');
  addPowerVerb(noun, 'stop', 'shut an instance down', 'Stopped');
  addPowerVerb(noun, 'reboot', 'restart an instance', 'Rebooted').option(
    '--hard',
    'cut the power instead of asking the guest',
  );
  confirming(
    planning(
      verb(
        noun,
        'delete <instance...>',
        'delete instances, with their disks',
        'copse instance delete web --yes',
      ),
    ),
  ).action(remove);
  printing(
    planning(
      verb(
        noun,
        'resize <instance>',
        'give an instance another flavor',
        'copse instance resize web --flavor medium',
      ),
    ),
  )
    .requiredOption('--flavor <flavor>', 'the new flavor')
    .action(resize);
  const example = 'copse instance snapshot web --name before-upgrade';
  repeatable(planning(verb(noun, 'snapshot <instance>', 'make an image of the disk', example)))
    .requiredOption('--name <name>', 'name of the image')
    .option('--description <text>', 'what it is for')
    .action(snapshot);
  addInstanceWatching(noun);
}

async function show(name: string, flags: CommonFlags): Promise<void> {
  const columns = instanceColumns.map(({ hidden: _, ...column }) => column);
  const format = formatOf(flags, columns);
  const client = connect(flags);
  await printOne(await read(client, await instanceId(client, name)), format);
}

function addPowerVerb(
  noun: Command,
  name: 'start' | 'stop' | 'reboot',
  summary: string,
  done: string,
): Command {
  const command = verb(noun, `${name} <instance...>`, summary, `copse instance ${name} web`);
  return printing(repeatable(planning(command))).action(
    async (names: string[], flags: ChangeFlags & { hard?: boolean }) => {
      const format = formatOf(flags, instanceColumns);
      const client = connect(flags);
      for (const text of names) {
        const id = await instanceId(client, text);
        const url = `${pathOf(id)}/${name}${flags.hard === true ? '?hard=true' : ''}`;
        const outcome = await change(client, { method: 'POST', url }, flags);
        if (outcome !== undefined)
          await tell(client, id, text, { done, pending: outcome.pending, format, flags });
      }
    },
  );
}

async function remove(names: string[], flags: ChangeFlags): Promise<void> {
  if (flags.dryRun !== true) await confirm(`Delete ${names.join(', ')} with their disks?`, flags);
  const client = connect(flags);
  for (const name of names) {
    const id = await instanceId(client, name);
    const outcome = await change(client, { method: 'DELETE', url: pathOf(id) }, flags);
    if (outcome === undefined) continue;
    const { pending } = outcome;
    await print(
      pending === undefined
        ? `Deleted ${name}.\n`
        : `${name} is being deleted. Wait for it with "copse task follow ${pending}".\n`,
    );
  }
}

async function resize(name: string, flags: ChangeFlags & { flavor: string }): Promise<void> {
  const format = formatOf(flags, instanceColumns);
  const client = connect(flags);
  const id = await instanceId(client, name);
  const { status } = await read(client, id);
  const place = (await regionsOf(client)).find(({ region }) => region.metadata.id === status.regionId);
  const flavors = place === undefined ? [] : await flavorsIn(client, place);
  const { metadata } = pick('flavor', flavors, flags.flavor);
  const body = { spec: { flavorId: metadata.id } };
  const call = { method: 'PATCH', url: pathOf(id), body } as const;
  const outcome = await change(client, call, flags, 'application/merge-patch+json');
  if (outcome === undefined) return;
  await tell(client, id, name, { done: 'Resized', pending: outcome.pending, format, flags });
}

async function snapshot(
  text: string,
  flags: ChangeFlags & { name: string; description?: string },
): Promise<void> {
  const { name, description } = flags;
  const client = connect(flags);
  const url = `${pathOf(await instanceId(client, text))}/snapshot`;
  const body = { metadata: { name, ...(description === undefined ? {} : { description }) } };
  const outcome = await change<Image>(client, { method: 'POST', url, body }, flags);
  if (outcome === undefined) return;
  const { id } = outcome.body.metadata;
  const next =
    outcome.pending && ` It is being made; wait for it with "copse task follow ${outcome.pending}".`;
  await print(`Created the image ${name} (${id}).${next ?? ''}\n`);
}
