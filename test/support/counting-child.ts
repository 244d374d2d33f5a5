/** A process that adds one to a counter so many times. Arguments: file, times. */
import { insert, StoreConflict } from '../../src/data/store/port.js';
import { SqliteStore } from '../../src/data/store/sqlite/sqlite.js';
import { collections, counters, increment } from '../contract/store/bench.js';

const [file = '', times = '0'] = process.argv.slice(2);
const store = new SqliteStore(file, collections);
await store.write([insert(counters, 'c', { count: 0 })]).catch((error: unknown) => {
  if (!(error instanceof StoreConflict)) throw error;
});
for (let turn = 0; turn < Number(times); turn += 1) await increment(store, 'c');
await store.close();
