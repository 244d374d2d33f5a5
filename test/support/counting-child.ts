/** A process that increments a counter this many times. Arguments: address of the store, its folder, times. */
import { insert, StoreConflict } from '../../src/data/store/port.js';
import { openStore } from '../../src/site/stores.js';
import { collections, counters, increment } from '../contract/store/bench.js';

const [address = '', folder = '', times = '0'] = process.argv.slice(2);
const store = await openStore(address, folder, collections);
await store.write([insert(counters, 'c', { count: 0 })]).catch((error: unknown) => {
  if (!(error instanceof StoreConflict)) throw error;
});
for (let turn = 0; turn < Number(times); turn += 1) await increment(store, 'c');
await store.close();
