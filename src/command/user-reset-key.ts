import { resolve } from 'node:path';
import { collections } from '../data/connector.js';
import { resetKey } from '../data/recovery.js';
import { keyHash, secretFor } from '../data/secret.js';
import { newApiKey } from '../data/user.js';
import { openStore } from '../site/stores.js';
import { withKeyWritten } from './key-file.js';
import { configOf, say, type StoreFlags } from './store-flags.js';

export interface ResetKeyFlags extends StoreFlags {
  keyFile?: string;
  revoke?: boolean;
  activate?: boolean;
}

/** copse user reset-key NAME: gives a user a new key, also while servers run. Throws if there is no such user. */
export async function resetUserKey(name: string, flags: ResetKeyFlags): Promise<void> {
  const { keyFile, revoke = false, activate = false } = flags;
  const { store: address, dataDir } = configOf(flags);
  const store = await openStore(address, resolve(dataDir), collections);
  try {
    const key = newApiKey();
    const hash = keyHash(await secretFor(store, 'apikey'), key);
    const result = await withKeyWritten(key, keyFile, () =>
      resetKey(store, { name, hash, revoke, activate }),
    );
    if (result === undefined) throw new Error(`There is no user "${name}".`);
    const { keyName, revoked, active } = result;
    const place = keyFile === undefined ? 'above' : `in ${keyFile}`;
    say(`The new API key "${keyName}" of "${name}" is ${place}. Keys revoked: ${revoked}.`);
    if (!active) say(`"${name}" is not active, so the key is refused; --activate changes that.`);
  } finally {
    await store.close();
  }
}
