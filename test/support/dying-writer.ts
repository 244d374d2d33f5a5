/** A process that is killed in the middle of a shared commit. Arguments: file, and the moment. */
import { writeSync } from 'node:fs';
import { type CollectionSpec, insert } from '../../src/data/store/port.js';
import { SqliteStore } from '../../src/data/store/sqlite/sqlite.js';
import { collections, counters } from '../contract/store/bench.js';

const [file = '', when = ''] = process.argv.slice(2);

function die(): never {
  process.kill(process.pid, 'SIGKILL');
  // The signal takes a moment; nothing may happen until then.
  for (;;);
}

/** The same collection, whose columns are derived within the transaction. */
const deadly: CollectionSpec<{ count: number }> = { ...counters, columnsOf: die };

const store = new SqliteStore(file, collections);
if (when === 'before-answer') store.watch(die);
writeSync(1, 'writing\n');
await Promise.all([
  store.write([insert(counters, 'one', { count: 1 })]),
  store.write([insert(when === 'before-commit' ? deadly : counters, 'two', { count: 2 })]),
]);
writeSync(1, 'answered\n');
