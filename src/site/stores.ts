/** Opens the configured store; the only file that knows the engines. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { admitStore } from '../data/migration/index.js';
import type { CollectionSpec, Store } from '../data/store/port.js';
import { fileHoldsAny } from '../data/store/sqlite/file.js';
import { type SqliteOptions, SqliteStore } from '../data/store/sqlite/sqlite.js';

const sqlite = 'sqlite:';

/** The file of a SQLite address, relative to the data folder; undefined for `sqlite::memory:` and other engines. */
export function sqliteFile(address: string, dataDir: string): string | undefined {
  const name = address.slice(sqlite.length);
  return address.startsWith(sqlite) && name !== ':memory:' ? resolve(dataDir, name) : undefined;
}

const isMongo = (address: string): boolean => /^mongodb(\+srv)?:\/\//.test(address);

/**
 * Whether there is a Copse store, in which one of these collections is never empty. Opening would create one, so a
 * missing or foreign database is left untouched.
 */
export async function isStore(
  address: string,
  dataDir: string,
  used: readonly CollectionSpec<never>[],
): Promise<boolean> {
  if (isMongo(address)) {
    const { holdsAny } = await import('../data/store/mongo/probe.js');
    return holdsAny(address, used);
  }
  const file = sqliteFile(address, dataDir);
  return file === undefined || (existsSync(file) && fileHoldsAny(file, used));
}

/** Rejects if the address is not a valid store address. Opens nothing. */
export async function assertAddress(address: string): Promise<void> {
  if (isMongo(address)) (await import('../data/store/mongo/connection.js')).assertAddress(address);
}

/**
 * `address` is `sqlite:FILE`, with the file relative to the data folder, `sqlite::memory:`, or a connection string of
 * MongoDB. MongoDB uses only the option `failed`; the others are for SQLite.
 */
export async function openStore(
  address: string,
  dataDir: string,
  collections: readonly CollectionSpec<never>[],
  options: SqliteOptions = {},
): Promise<Store> {
  if (isMongo(address)) {
    // Loaded only if it is used: the driver takes 14 MiB of memory.
    const { MongoStore } = await import('../data/store/mongo/mongo.js');
    const { failed } = options;
    return MongoStore.open(address, collections, {
      admit: admitStore,
      ...(failed === undefined ? {} : { failed }),
    });
  }
  if (!address.startsWith(sqlite))
    throw new Error(
      `"${address.slice(0, address.indexOf(':') + 1)}…" is not a store address; use sqlite:FILE or mongodb://….`,
    );
  return new SqliteStore(sqliteFile(address, dataDir) ?? ':memory:', collections, options);
}
