import { resolve } from 'node:path';
import { collections } from '../data/connector.js';
import { createFirstSuperUser } from '../data/first-superuser.js';
import { migrateStore } from '../data/migration/index.js';
import { keyHash, secretFor } from '../data/secret.js';
import { newApiKey } from '../data/user.js';
import { silentLog } from '../model/log.js';
import { openStore } from '../site/stores.js';
import { withKeyWritten } from './key-file.js';
import { configOf, say, type StoreFlags } from './store-flags.js';

export interface SetupFlags extends StoreFlags {
  user: string;
  organization?: string;
  project?: string;
  keyFile?: string;
}

/** copse setup: creates the first superuser, once. Throws if somebody exists. */
export async function setUpSite(flags: SetupFlags): Promise<void> {
  const { user: username, organization, project, keyFile } = flags;
  const { store: address, dataDir, auth } = configOf(flags);
  const store = await openStore(address, resolve(dataDir), collections);
  try {
    await migrateStore(store, silentLog);
    const key = newApiKey();
    const hash = keyHash(await secretFor(store, 'apikey'), key);
    const made = await withKeyWritten(key, keyFile, () =>
      createFirstSuperUser(store, {
        username,
        ...(organization === undefined ? {} : { organization }),
        ...(project === undefined ? {} : { project }),
        by: 'command',
        requestId: 'copse-setup',
        key,
        hash,
        superUsers: auth.superUsers,
      }),
    );
    if (made === undefined)
      throw new Error(
        'The site has been set up already; "copse user reset-key NAME" gives a user a new key.',
      );
    say(
      `The superuser is "${username}"; the API key is ${keyFile === undefined ? 'above' : `in ${keyFile}`}.`,
    );
  } finally {
    await store.close();
  }
}
