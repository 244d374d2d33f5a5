import { instances } from '../instance.js';
import { tasks } from '../task.js';
import type { Migration } from './migration.js';

/** Instances are found by status and expiry, tasks by requester and end: these columns are filled. */
export const statusOfInstances: Migration = {
  version: 2,
  name: 'status-of-instances',
  run: async (work) => {
    await work.rewrite(instances);
    await work.rewrite(tasks);
  },
};
