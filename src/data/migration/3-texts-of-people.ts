import { instances } from '../instance.js';
import { organizations } from '../organization.js';
import { apiKeys, users } from '../user.js';
import type { Migration } from './migration.js';

/** Public texts of users, API keys and organizations, which had none, and the column of who has created an instance. */
export const textsOfPeople: Migration = {
  version: 3,
  name: 'texts-of-people',
  run: async (work) => {
    await work.rewrite(users);
    await work.rewrite(apiKeys);
    await work.rewrite(organizations);
    await work.rewrite(instances);
  },
};
