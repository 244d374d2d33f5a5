/** copse flavor */
import type { Command } from 'commander';
import type { Flavor } from '../model/flavor.js';
import { listVerb } from './list.js';
import { flavorsIn, placeOf } from './lookup.js';
import type { Column } from './output.js';

const columns: Column<Flavor>[] = [
  { name: 'name', value: ({ metadata }) => metadata.name },
  { name: 'cpus', value: ({ spec }) => spec.cpus },
  { name: 'memory', value: ({ spec }) => `${spec.memoryMiB} MiB` },
  { name: 'disk', value: ({ spec }) => `${spec.disk} GB` },
  { name: 'architecture', value: ({ spec }) => spec.architecture },
  { name: 'id', value: ({ metadata }) => metadata.id },
];

export function addVerbs(noun: Command): void {
  listVerb<Flavor>(noun, 'list', 'list the sizes of a region', 'copse flavor list', {
    columns,
    source: async (client, { region }) =>
      flavorsIn(client, await placeOf(client, region as string | undefined)),
  }).option('--region <region>', 'the region (default: the only one)');
}
