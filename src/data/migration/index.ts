/** The migrations, in order. Every release that changes what collections declare or the form of values adds one. */
import type { Log } from '../../model/log.js';
import { ownerName } from '../owner.js';
import { secrets } from '../secret.js';
import type { ReadDocument, Store } from '../store/port.js';
import { columnsOfLists } from './2-columns-of-lists.js';
import { textsOfPeople } from './3-texts-of-people.js';
import { columnsOfInstances } from './4-columns-of-instances.js';
import type { Migration } from './migration.js';
import { migrate, refuseNewer } from './runner.js';

/** Schema 1 is that of the first version, which stored no schema document. */
export const migrations: readonly Migration[] = [columnsOfLists, textsOfPeople, columnsOfInstances];

export const currentSchema = migrations.at(-1)?.version ?? 1;

/** For engines that change something on opening a store: rejects beforehand if a newer version wrote it. */
export function admitStore(read: ReadDocument): Promise<void> {
  return refuseNewer(read, currentSchema);
}

/** Brings the store to the current schema. Every start on a store begins with this. */
export function migrateStore(store: Store, log: Log): Promise<void> {
  // A server's first write was always a secret.
  return migrate(store, migrations, { owner: ownerName(), log, used: [secrets] });
}
