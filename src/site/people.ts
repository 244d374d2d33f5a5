/** The parts that know users and their credentials. */
import type { Config } from '../config.js';
import type { Connector } from '../data/connector.js';
import { secretFor } from '../data/secret.js';
import { SessionData } from '../data/session.js';
import type { SettingsData } from '../data/settings.js';
import type { Store } from '../data/store/port.js';
import { TokenData } from '../data/token.js';
import type { UserData } from '../data/user.js';
import type { Log } from '../model/log.js';
import { Issuers } from './issuers.js';

const seconds = 1000;

export async function openPeople(
  { auth }: Config,
  store: Store,
  users: UserData,
  settings: SettingsData,
  log: Log,
): Promise<Pick<Connector, 'users' | 'tokens' | 'sessions'>> {
  const issuers = new Issuers(auth.oidc, log);
  const { idle, lifetime } = auth.sessions;
  const times = { idle: idle * seconds, lifetime: lifetime * seconds };
  return {
    users,
    tokens: new TokenData(store, issuers, () => settings.superUserRule),
    sessions: new SessionData(store, await secretFor(store, 'session'), users, settings, times),
  };
}
