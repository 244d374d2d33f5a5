/** The settings that people change at run time, over what the configuration says. */
import type { Config } from '../config.js';
import type { ChangeFeed } from '../data/change-feed.js';
import { SettingsData } from '../data/settings.js';
import type { Store } from '../data/store/port.js';
import type { Log } from '../model/log.js';

export async function openSettings(
  { auth, limits, instances }: Config,
  store: Store,
  feed: ChangeFeed,
  log: Log,
): Promise<SettingsData> {
  const { requests, window } = limits;
  const { maxLifetime, expiryWarning, trash } = instances;
  const configured = {
    superUsers: auth.superUsers,
    limits: { requests, window },
    instances: { maxLifetime, expiryWarning, trash },
  };
  const settings = new SettingsData(store, configured, auth.everyoneIsSuperUser);
  await settings.open(feed, (error) => log.warn({ err: error }, 'cannot read the settings'));
  return settings;
}
