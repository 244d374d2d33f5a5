/** The migrations, in order. A release that changes what collections declare or how values look adds one, always. */
import type { Log } from '../../model/log.js';
import { ownerName } from '../owner.js';
import { secrets } from '../secret.js';
import type { ReadDocument, Store } from '../store/port.js';
import { columnsOfLists } from './2-columns-of-lists.js';
import type { Migration } from './migration.js';
import { migrate, refuseNewer } from './runner.js';

/** Schema 1 is that of the first program, which kept no schema document. */
export const migrations: readonly Migration[] = [columnsOfLists];

export const currentSchema = migrations.at(-1)?.version ?? 1;

/** For engines that change something when they open a store: rejects before, when a newer program wrote it. */
export function admitStore(read: ReadDocument): Promise<void> {
  return refuseNewer(read, currentSchema);
}

/** Brings the store to the current schema. Every start of a program on a store begins with it. */
export function migrateStore(store: Store, log: Log): Promise<void> {
  // A server's first write was always a secret.
  return migrate(store, migrations, { owner: ownerName(), log, used: [secrets] });
}
