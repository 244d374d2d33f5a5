/** copse network */
import type { Command } from 'commander';
import type { Network } from '../model/network.js';
import { listVerb } from './list.js';
import type { Column } from './output.js';

const columns: Column<Network>[] = [
  { name: 'name', value: ({ metadata }) => metadata.name },
  { name: 'project', value: ({ metadata }) => metadata.projectId },
  { name: 'region', value: ({ status }) => status.regionId },
  { name: 'created', value: ({ metadata }) => metadata.creationTime, kind: 'time' },
  { name: 'id', value: ({ metadata }) => metadata.id },
];

export function addVerbs(noun: Command): void {
  listVerb(noun, 'list', 'list networks', 'copse network list', { columns, source: '/api/v2/networks' });
}
