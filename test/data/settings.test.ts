import { rmSync } from 'node:fs';
import { expect } from 'chai';
import { ChangeFeed } from '../../src/data/change-feed.js';
import { collections } from '../../src/data/connector.js';
import { SettingsData, settings } from '../../src/data/settings.js';
import { replace, type Store } from '../../src/data/store/port.js';
import { eventually } from '../support/eventually.js';
import { cut } from '../support/outage.js';
import { scratchFolder } from '../support/region.js';
import { openTestStore } from '../support/store.js';

const configured = {
  superUsers: [],
  limits: { requests: 0, window: 60 },
  instances: { maxLifetime: 30, expiryWarning: 24, trash: 0 },
};

describe('the settings in the memory of a process', () => {
  let folder: string;
  let own: Store;
  let other: Store;
  let feed: ChangeFeed;

  beforeEach(async () => {
    folder = scratchFolder('settings');
    const open = () => openTestStore(collections, 'sqlite:shared.sqlite', folder);
    [own, other] = [await open(), await open()];
    feed = new ChangeFeed(own, 10);
  });
  afterEach(async () => {
    await feed.close();
    await own.close();
    await other.close();
    rmSync(folder, { recursive: true });
  });

  const setByOther = async (superUsers: string[]) => {
    const found = await other.get(settings, 'site');
    if (found === undefined) throw new Error('there are no settings');
    await other.write([replace(settings, found, { superUsers })]);
  };

  it('follow a change by another process that could not be read at first', async () => {
    const data = new SettingsData(own, configured, false);
    const failures: unknown[] = [];
    await data.open(feed, (error) => failures.push(error));
    await setByOther(['ann']);
    await eventually(() => data.superUserRule.superUsers.includes('ann'));

    const restore = cut(own, 'get');
    await setByOther([]);
    await eventually(() => failures.length > 0);
    expect(data.superUserRule.superUsers).to.deep.equal(['ann']);
    restore();
    await eventually(() => data.superUserRule.superUsers.length === 0);
  });

  it('are no longer asked for once the process closes', async () => {
    const data = new SettingsData(own, configured, false);
    const failures: unknown[] = [];
    await data.open(feed, (error) => failures.push(error));
    const restore = cut(own, 'get');
    await setByOther(['ann']);
    await eventually(() => failures.length > 0);
    await feed.close();
    const { length } = failures;
    restore();
    await other.lastChange();
    expect(failures).to.have.length(length);
    expect(data.superUserRule.superUsers).to.deep.equal([]);
  });
});
