/**
 * Creates the indexes that the collections need, in whichever process comes first, and drops those that they no longer
 * use. Indexes with other names are not Copse's, and stay.
 */
import { type Db, MongoServerError } from 'mongodb';
import { changeIndexes, changesName } from './change-log.js';
import { isAway } from './failure.js';
import { type AnyCollection, type Index, indexesOf } from './documents.js';

const tries = 5;

const ours = /^(unique_k_|by_)/;
/** Server error codes: the collection or the index does not exist. */
const goneAlready = new Set<unknown>([26, 27]);

export async function makeIndexes(db: Db, collections: readonly AnyCollection[]): Promise<void> {
  const existing = new Set(
    (await db.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name),
  );
  await make(db, changesName, changeIndexes, existing);
  for (const collection of collections) await make(db, collection.name, indexesOf(collection), existing);
}

async function make(
  db: Db,
  name: string,
  indexes: readonly Index[],
  existing: ReadonlySet<string>,
): Promise<void> {
  for (let tried = 1; ; tried += 1) {
    try {
      const fresh = tried === 1 && !existing.has(name);
      const missing = fresh ? indexes : await missingOf(db, name, indexes);
      if (missing.length === 0) return;
      const first = fresh ? missing : missing.slice(0, 1);
      const all = first.map(({ name, fields, unique, sparse }) => ({
        name,
        key: fields,
        ...(unique ? { unique } : {}),
        ...(sparse === undefined ? {} : { sparse }),
      }));
      await db.collection(name).createIndexes(all);
      if (first.length === missing.length) return;
      tried -= 1;
    } catch (error) {
      // A server may drop the connection if some indexes of a command already exist, for example when two processes
      // start.
      if (!isAway(error) || tried === tries) throw error;
    }
  }
}

async function missingOf(db: Db, name: string, indexes: readonly Index[]): Promise<Index[]> {
  const all = (await db.collection(name).listIndexes().toArray()) as { name: string }[];
  const found = new Set(all.map((index) => index.name));
  const wanted = new Set(indexes.map((index) => index.name));
  for (const index of found) {
    if (ours.test(index) && !wanted.has(index)) await drop(db, name, index);
  }
  return indexes.filter((index) => !found.has(index.name));
}

async function drop(db: Db, name: string, index: string): Promise<void> {
  try {
    await db.collection(name).dropIndex(index);
  } catch (error) {
    if (!(error instanceof MongoServerError && goneAlready.has(error.code))) throw error;
  }
}
