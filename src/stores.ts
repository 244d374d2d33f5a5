/** Opens the configured store; the only file that knows which engines there are. */
import { resolve } from 'node:path';
import type { CollectionSpec, Store } from './data/store/port.js';
import type { Log } from './model/log.js';
import { SqliteStore } from './data/store/sqlite/sqlite.js';

/** `address` is `sqlite:FILE`, with the file relative to the data folder, or `sqlite::memory:`. `keptPages`: bytes. */
export function openStore(
  address: string,
  dataDir: string,
  collections: readonly CollectionSpec<never>[],
  options: { keptPages?: number; log?: Log } = {},
): Promise<Store> {
  return new Promise((opened) => {
    const name = address.slice('sqlite:'.length);
    opened(new SqliteStore(name === ':memory:' ? name : resolve(dataDir, name), collections, options));
  });
}
