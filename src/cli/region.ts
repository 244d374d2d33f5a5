/** copse region */
import type { Command } from 'commander';
import type { Region } from '../model/region.js';
import { listVerb } from './list.js';
import { regionsOf } from './lookup.js';
import type { Column } from './output.js';

const columns: Column<Region>[] = [
  { name: 'name', value: ({ metadata }) => metadata.name },
  { name: 'type', value: ({ spec }) => spec.type },
  { name: 'accelerator', value: ({ spec }) => spec.features.accelerator },
  { name: 'health', value: ({ metadata }) => metadata.healthStatus, kind: 'state' },
  { name: 'id', value: ({ metadata }) => metadata.id },
];

export function addVerbs(noun: Command): void {
  listVerb(noun, 'list', 'list the regions that you can use', 'copse region list', {
    columns,
    source: async (client) => (await regionsOf(client)).map(({ region }) => region),
  });
}
