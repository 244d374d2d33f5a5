import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { collections } from '../data/connector.js';
import { copyStore, type Compared, isEqual } from '../data/copy.js';
import { migrateStore } from '../data/migration/index.js';
import { schema } from '../data/migration/schema.js';
import { secrets } from '../data/secret.js';
import type { Store } from '../data/store/port.js';
import { type Log, silentLog } from '../model/log.js';
import { isStore, openStore, sqliteFile } from '../site/stores.js';
import { configOf, say, type StoreFlags } from './store-flags.js';

/** Milliseconds between two lines of progress. */
const telling = 2000;

const spoken: Log = {
  ...silentLog,
  info: (_details, message) => {
    say(message);
  },
};

/** copse store copy FROM TO. Sets exit code 1 if the two differ at the end. */
export async function copy(from: string, to: string, flags: StoreFlags): Promise<void> {
  const { dataDir } = configOf(flags);
  const file = sqliteFile(from, resolve(dataDir));
  if (file !== undefined && !existsSync(file)) throw new Error(`There is no database ${file}.`);
  if (file !== undefined && file === sqliteFile(to, resolve(dataDir)))
    throw new Error('Both addresses refer to the same database.');
  // Before anything is opened: a server's first write is the schema document (in schema 1, a secret).
  if (!(await isStore(from, resolve(dataDir), [schema, secrets])))
    throw new Error('The source is empty: there is no store at FROM. Nothing was changed.');
  const open = (address: string) => openStore(address, resolve(dataDir), collections);
  const opened: Store[] = [];
  try {
    const source = await open(from);
    opened.push(source);
    await migrateStore(source, spoken);
    const target = await open(to);
    opened.push(target);
    let told = Date.now();
    const compared = await copyStore(source, target, collections, (step, collection, done, total) => {
      if (Date.now() - told < telling) return;
      told = Date.now();
      say(`${step} ${collection}: ${done} of ${total}`);
    });
    report(compared);
  } finally {
    for (const store of opened) await store.close();
  }
}

function report(compared: readonly Compared[]): void {
  const line = (collection: string, count: string, digest: string) =>
    process.stdout.write(`${collection.padEnd(16)}${count.padStart(10)}  ${digest}\n`);
  line('collection', 'documents', 'SHA-256');
  for (const one of compared) {
    line(one.collection, String(one.from.count), one.from.digest);
    if (!isEqual(one)) line('  differs in TO', String(one.to.count), one.to.digest);
  }
  const differing = compared.filter((one) => !isEqual(one)).map(({ collection }) => collection);
  if (differing.length === 0) {
    say('Both sides are equal.');
  } else {
    say(
      `Not equal: ${differing.join(', ')}. Something may have written in the meantime: stop every server on both stores and run the command again.`,
    );
    process.exitCode = 1;
  }
}
