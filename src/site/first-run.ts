/** What a store needs before the first request: users, projects, and a known key. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.js';
import { setupTokenOf } from '../data/onboarding.js';
import { setUp } from '../data/setup.js';
import type { Store } from '../data/store/port.js';
import type { UserData } from '../data/user.js';
import type { Log } from '../model/log.js';

export interface FirstRunOptions {
  log: Log;
  /** Receives the first superuser's key when it is generated: it cannot be read again. */
  onNewKey?: (key: string, user: string, file: string) => void;
  /** Receives the token with which the first superuser can be created over the API. */
  onSetupToken?: (token: string) => void;
}

/** Sets the store up, and writes the key to a file in the data folder. */
export async function firstRun(
  config: Config,
  { log, onNewKey, onSetupToken }: FirstRunOptions,
  store: Store,
  userData: UserData,
  dataDir: string,
): Promise<void> {
  const { superUsers, everyoneIsSuperUser, onboarding } = config.auth;
  const adminName = superUsers[0] ?? 'admin';
  const file = join(dataDir, 'admin.key');
  // Private to this process until its key is the valid one: several processes may share the folder.
  const draft = `${file}.${process.pid}`;
  const { adminKey } = config;
  /** False if it cannot be written. The key can still be printed. */
  const write = (to: string, key: string): boolean => {
    try {
      writeFileSync(to, `${key}\n`, { mode: 0o600 });
      return true;
    } catch (error) {
      log.error({ err: error }, 'the key of the superuser cannot be written to its file');
      return false;
    }
  };
  const writeDown = (key: string) => {
    write(draft, key);
  };
  const { newKey, awaiting } = await setUp(store, userData, { adminName, adminKey, onboarding, writeDown });
  if (awaiting === true) onSetupToken?.(await setupTokenOf(store));
  if (newKey === undefined || write(file, newKey)) rmSync(draft, { force: true });
  if (adminKey !== '') write(file, adminKey);
  if (newKey !== undefined) onNewKey?.(newKey, adminName, file);
  if (everyoneIsSuperUser) log.warn({}, 'auth.everyoneIsSuperUser is on: every user may do everything');
  if (superUsers.length === 0 && awaiting !== true)
    log.warn({}, 'auth.superUsers is empty: there are no superusers');
}
