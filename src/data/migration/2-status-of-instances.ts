import { instances } from '../instance.js';
import type { Migration } from './migration.js';

/** Instances are found by their provisioning status: its column is filled. */
export const statusOfInstances: Migration = {
  version: 2,
  name: 'status-of-instances',
  run: (work) => work.rewrite(instances),
};
