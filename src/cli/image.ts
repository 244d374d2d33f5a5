/** copse image */
import type { Command } from 'commander';
import type { Client } from '../client/client.js';
import type { Image } from '../model/image.js';
import { change, type ChangeFlags, confirm, confirming, waiting } from './change.js';
import { type Listing, listVerb } from './list.js';
import { idIn, isId, pick, regionId, segment } from './lookup.js';
import { type Column, formatOf, printOne } from './output.js';
import { print } from './terminal.js';
import { type CommonFlags, connect, printing, verb } from './verb.js';

const columns: Column<Image>[] = [
  { name: 'name', value: ({ metadata }) => metadata.name },
  { name: 'state', value: ({ status }) => status.state, kind: 'state' },
  { name: 'source', value: ({ spec }) => spec.source?.type },
  { name: 'os', value: ({ spec }) => `${spec.os.distro} ${spec.os.version}` },
  { name: 'disk', value: ({ spec }) => `${spec.sizeGiB} GiB` },
  { name: 'visibility', value: ({ spec }) => spec.visibility },
  { name: 'id', value: ({ metadata }) => metadata.id },
  { name: 'memory', value: ({ spec }) => spec.minMemoryMiB && `${spec.minMemoryMiB} MiB`, hidden: true },
  { name: 'architecture', value: ({ spec }) => spec.architecture, hidden: true },
  { name: 'created', value: ({ metadata }) => metadata.creationTime, kind: 'time', hidden: true },
  { name: 'region', value: ({ spec }) => spec.regionId, hidden: true },
  { name: 'problem', value: ({ status }) => status.message, hidden: true },
];

const listing: Listing<Image> = {
  columns,
  source: '/api/v2/images',
  filters: {
    region: { parameter: 'regionID', resolve: regionId },
    project: { parameter: 'projectID', resolve: (client, text) => idIn(client, 'project', text) },
  },
};

export function addVerbs(noun: Command): void {
  listVerb(
    noun,
    'list',
    'list images of regions and projects',
    'copse image list --filter state=ready',
    listing,
  );
  printing(verb(noun, 'show <image>', 'show an image', 'copse image show debian')).action(show);
  confirming(
    waiting(verb(noun, 'delete <image>', 'delete an image of a project', 'copse image delete old --yes')),
  ).action(remove);
}

async function find(client: Client, text: string): Promise<Image> {
  if (isId(text)) return (await client.get<Image>(`/api/v2/images/${segment(text)}`)).body;
  const images: Image[] = [];
  for await (const image of client.items<Image>('/api/v2/images?limit=1000')) images.push(image);
  return pick('image', images, text);
}

async function show(name: string, flags: CommonFlags): Promise<void> {
  const format = formatOf(
    flags,
    columns.map(({ hidden: _, ...column }) => column),
  );
  await printOne(await find(connect(flags), name), format);
}

async function remove(name: string, flags: ChangeFlags): Promise<void> {
  await confirm(`Delete the image ${name}?`, flags);
  const client = connect(flags);
  const { metadata } = await find(client, name);
  const url = `/api/v2/images/${segment(metadata.id)}`;
  const outcome = await change(client, { method: 'DELETE', url }, flags);
  const pending = outcome?.pending;
  await print(
    pending === undefined
      ? `Deleted ${name}.\n`
      : `${name} is being deleted. Wait for it with "copse task follow ${pending}".\n`,
  );
}
