import { resolve } from 'node:path';
import { collections } from '../data/connector.js';
import { unbindRegion } from '../data/region.js';
import { openStore } from '../site/stores.js';
import { configOf, say, type StoreFlags } from './store-flags.js';

/** copse region rebind */
export async function rebindRegion(name: string, flags: StoreFlags): Promise<void> {
  const { store: address, dataDir } = configOf(flags);
  const store = await openStore(address, resolve(dataDir), collections);
  try {
    if (!(await unbindRegion(store, name))) throw new Error(`The store knows no region "${name}".`);
  } finally {
    await store.close();
  }
  say(
    `Region ${name} will belong to the folder that the next process opens it with. ` +
      'Machines that are not in that folder are reported as missing.',
  );
}
