/** copse image */
import type { Command } from 'commander';
import type { Image } from '../model/image.js';
import { listVerb } from './list.js';
import { imagesIn, pick, placeOf } from './lookup.js';
import { type Column, formatOf, printOne } from './output.js';
import { type CommonFlags, connect, printing, verb } from './verb.js';

const columns: Column<Image>[] = [
  { name: 'name', value: ({ metadata }) => metadata.name },
  { name: 'state', value: ({ status }) => status.state, kind: 'state' },
  { name: 'os', value: ({ spec }) => `${spec.os.distro} ${spec.os.version}` },
  { name: 'disk', value: ({ spec }) => `${spec.sizeGiB} GiB` },
  { name: 'memory', value: ({ spec }) => spec.minMemoryMiB && `${spec.minMemoryMiB} MiB` },
  { name: 'architecture', value: ({ spec }) => spec.architecture },
  { name: 'id', value: ({ metadata }) => metadata.id },
];

interface RegionFlags extends CommonFlags {
  region?: string;
}

export function addVerbs(noun: Command): void {
  listVerb<Image>(noun, 'list', 'list the images of a region', 'copse image list', {
    columns,
    source: async (client, { region }) =>
      imagesIn(client, await placeOf(client, region as string | undefined)),
  }).option('--region <region>', 'the region (default: the only one)');
  printing(verb(noun, 'show <image>', 'show an image', 'copse image show debian'))
    .option('--region <region>', 'the region (default: the only one)')
    .action(async (name: string, flags: RegionFlags) => {
      const format = formatOf(flags, columns);
      const client = connect(flags);
      await printOne(
        pick('image', await imagesIn(client, await placeOf(client, flags.region)), name),
        format,
      );
    });
}
