/** copse instance create */
import type { Command } from 'commander';
import type { Client } from '../client/client.js';
import { misfits } from '../model/fit.js';
import type { Flavor } from '../model/flavor.js';
import type { Image } from '../model/image.js';
import type { Instance } from '../model/instance.js';
import type { SshKey } from '../model/ssh-key.js';
import { change, type ChangeFlags, planning, repeatable } from './change.js';
import { CliError, usageError } from './failure.js';
import { expiryOf, readInput } from './input.js';
import { instanceColumns, tell } from './instance-print.js';
import { flavorsIn, idIn, imagesIn, pick, type Place, placeOf } from './lookup.js';
import { formatOf } from './output.js';
import { note } from './terminal.js';
import { collect, connect, pairOf, printing, verb } from './verb.js';

interface CreateFlags extends ChangeFlags {
  flavor?: string;
  image?: string;
  region?: string;
  network?: string;
  project?: string;
  description?: string;
  key?: string[];
  userData?: string;
  tag?: string[];
  expires?: string;
}

export function addInstanceCreate(noun: Command): void {
  const examples = [
    'copse instance create web',
    'copse instance create web --flavor small --image debian --key laptop --tag role=web',
  ];
  printing(repeatable(planning(verb(noun, 'create <name>', 'create an instance', examples))))
    .option('--flavor <flavor>', 'its size (default: the smallest that fits the image)')
    .option('--image <image>', 'what its disk begins with (default: the first that fits)')
    .option('--region <region>', 'where it is (default: the only region)')
    .option('--network <network>', "its network (default: the project's own in the region)")
    .option('--project <project>', 'whose it is (default: your only project)')
    .option('--key <name>', 'SSH key that may log in ("copse key list"); several times: several', collect)
    .option('--user-data <file>', 'cloud-init input; - reads standard input')
    .option('--tag <name=value>', 'tag; several times: several', collect)
    .option('--description <text>', 'what it is for')
    .option('--expires <time>', 'when it is deleted by itself, such as 2027-01-31T12:00:00Z, or 8h, or 7d')
    .action(create);
}

async function create(name: string, flags: CreateFlags): Promise<void> {
  const format = formatOf(flags, instanceColumns);
  const metadata = {
    name,
    ...(flags.description === undefined ? {} : { description: flags.description }),
    ...(flags.tag === undefined ? {} : { tags: flags.tag.map(tagOf) }),
  };
  const expiresAt = flags.expires === undefined ? {} : { expiresAt: expiryOf(flags.expires) };
  if (flags.key !== undefined && flags.userData !== undefined)
    throw usageError('--key and --user-data exclude each other.', 'Put the key into the user data.');
  const given = flags.userData === undefined ? undefined : readInput(flags.userData, '--user-data');
  const client = connect(flags);
  const place = await placeOf(client, flags.region);
  const chosen = await chooseMachine(client, place, flags);
  const userData = flags.key === undefined ? given : await cloudConfig(client, flags.key);
  const spec = {
    ...(flags.project === undefined ? {} : { projectId: await idIn(client, 'project', flags.project) }),
    ...(flags.network === undefined
      ? { regionId: place.region.metadata.id }
      : { networkId: await idIn(client, 'network', flags.network) }),
    ...chosen,
    ...(userData === undefined ? {} : { userData: userData.toString('base64') }),
    ...expiresAt,
  };
  const call = { method: 'POST', url: '/api/v2/instances', body: { metadata, spec } } as const;
  const outcome = await change<Instance>(client, call, flags);
  if (outcome === undefined) return;
  const { id } = outcome.body.metadata;
  await tell(client, id, `${name} (${id})`, { done: 'Created', pending: outcome.pending, format, flags });
}

function tagOf(text: string): { name: string; value: string } {
  const [name, value] = pairOf(text, '--tag');
  return { name, value };
}

/** What was named; otherwise the smallest flavor and the first image that fit. */
async function chooseMachine(
  client: Client,
  place: Place,
  flags: CreateFlags,
): Promise<{ flavorId: string; imageId: string }> {
  const [flavors, images] = await Promise.all([flavorsIn(client, place), imagesIn(client, place)]);
  const fixedFlavor = flags.flavor === undefined ? undefined : pick('flavor', flavors, flags.flavor);
  const fixedImage = flags.image === undefined ? undefined : pick('image', images, flags.image);
  if (fixedFlavor !== undefined && fixedImage !== undefined)
    return { flavorId: fixedFlavor.metadata.id, imageId: fixedImage.metadata.id };
  const pairs = candidates(fixedFlavor, flavors).flatMap((flavor) =>
    candidates(fixedImage, images).map((image) => ({ flavor, image })),
  );
  const pair = pairs.find(({ flavor, image }) => misfits(flavor, image).length === 0);
  if (pair === undefined)
    throw new CliError('notFound', 'No flavor and image of the region fit together.', 'Name them.');
  note(`Using flavor ${pair.flavor.metadata.name} and image ${pair.image.metadata.name}.`);
  return { flavorId: pair.flavor.metadata.id, imageId: pair.image.metadata.id };
}

function candidates<T extends Flavor | Image>(fixed: T | undefined, all: T[]): T[] {
  return fixed === undefined ? all : [fixed];
}

async function cloudConfig(client: Client, names: string[]): Promise<Buffer> {
  const keys: SshKey[] = [];
  for await (const key of client.items<SshKey>('/api/v2/keys?limit=1000')) keys.push(key);
  const items = keys.map((key) => ({ ...key, metadata: { id: key.name, name: key.name } }));
  const lines = names.map((name) => `  - ${JSON.stringify(pick('key', items, name).key)}`);
  return Buffer.from(`#cloud-config\nssh_authorized_keys:\n${lines.join('\n')}\n`);
}
