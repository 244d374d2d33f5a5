import { instances } from '../instance.js';
import { tasks } from '../task.js';
import type { Migration } from './migration.js';

/** Columns that lists and periodic jobs filter by: status of instances, requester and end of tasks. */
export const columnsOfLists: Migration = {
  version: 2,
  name: 'columns-of-lists',
  run: async (work) => {
    await work.rewrite(instances);
    await work.rewrite(tasks);
  },
};
