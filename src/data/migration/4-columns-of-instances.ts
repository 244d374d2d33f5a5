import { instances } from '../instance.js';
import type { Migration } from './migration.js';

/** Columns that lists of instances filter and sort by: power state, flavor, image and time of modification. */
export const columnsOfInstances: Migration = {
  version: 4,
  name: 'columns-of-instances',
  run: (work) => work.rewrite(instances),
};
