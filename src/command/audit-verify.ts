import { resolve } from 'node:path';
import { verifyAudit } from '../data/audit-check.js';
import { collections } from '../data/connector.js';
import { openStore } from '../site/stores.js';
import { configOf, say, type StoreFlags } from './store-flags.js';

/** copse audit verify. Returns whether the trail is intact. */
export async function verifyTrail(flags: StoreFlags): Promise<boolean> {
  const { store: address, dataDir } = configOf(flags);
  const store = await openStore(address, resolve(dataDir), collections);
  try {
    const { count, last, faults } = await verifyAudit(store);
    for (const fault of faults) say(fault);
    const end = last === undefined ? '' : `; the last one is ${last.sequence} with the hash ${last.hash}`;
    say(`${count} audit records, ${faults.length === 0 ? 'intact' : 'NOT intact'}${end}.`);
    return faults.length === 0;
  } finally {
    await store.close();
  }
}
