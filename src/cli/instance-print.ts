/** How instances are printed. */
import type { Client } from '../client/client.js';
import type { Instance } from '../model/instance.js';
import { segment } from './lookup.js';
import { type Column, type formatOf, printOne } from './output.js';
import { print } from './terminal.js';
import type { CommonFlags } from './verb.js';

export const instanceColumns: Column<Instance>[] = [
  { name: 'name', value: ({ metadata }) => metadata.name },
  { name: 'power', value: ({ status }) => status.powerState, kind: 'state' },
  { name: 'status', value: ({ metadata }) => metadata.provisioningStatus, kind: 'state' },
  { name: 'ip', value: ({ status }) => status.publicIP ?? status.privateIP },
  { name: 'created', value: ({ metadata }) => metadata.creationTime, kind: 'time' },
  { name: 'id', value: ({ metadata }) => metadata.id },
  { name: 'health', value: ({ metadata }) => metadata.healthStatus, kind: 'state', hidden: true },
  { name: 'tags', value: ({ metadata }) => tagsOf(metadata.tags), hidden: true },
  { name: 'description', value: ({ metadata }) => metadata.description, hidden: true },
  { name: 'expires', value: ({ spec }) => spec.expiresAt, kind: 'time', hidden: true },
  { name: 'mac', value: ({ status }) => status.macAddress, hidden: true },
  { name: 'task', value: ({ status }) => status.taskId, hidden: true },
  { name: 'project', value: ({ metadata }) => metadata.projectId, hidden: true },
  { name: 'region', value: ({ status }) => status.regionId, hidden: true },
  { name: 'network', value: ({ status }) => status.networkId, hidden: true },
  { name: 'flavor', value: ({ spec }) => spec.flavorId, hidden: true },
  { name: 'image', value: ({ spec }) => spec.imageId, hidden: true },
  { name: 'problem', value: ({ metadata }) => metadata.provisioningStatusDetail?.message, hidden: true },
];

function tagsOf(tags: Instance['metadata']['tags']): string | undefined {
  return tags?.map(({ name, value }) => `${name}=${value}`).join(' ');
}

export function pathOf(id: string): string {
  return `/api/v2/instances/${segment(id)}`;
}

export async function read(client: Client, id: string): Promise<Instance> {
  return (await client.get<Instance>(pathOf(id))).body;
}

interface Telling {
  done: string;
  pending: string | undefined;
  format: ReturnType<typeof formatOf<Instance>>;
  flags: CommonFlags;
}

/** A sentence for people; the instance, as it now is, for programs. */
export async function tell(
  client: Client,
  id: string,
  name: string,
  { done, pending, format, flags }: Telling,
): Promise<void> {
  if (flags.output !== undefined && flags.output !== 'table') return printOne(await read(client, id), format);
  await print(
    pending === undefined
      ? `${done} ${name}.\n`
      : `Requested for ${name}. Wait for it with "copse task follow ${pending}".\n`,
  );
}
