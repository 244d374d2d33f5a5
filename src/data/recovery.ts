/** How the owner of the machine lets a user in who has no valid key any more. */
import { uuidv7 } from 'uuidv7';
import type { ApiKeyRecord } from '../model/api-key.js';
import { timestamp } from '../model/common.js';
import { type AuditEntry, auditedAll } from './audit.js';
import { sessions, sessionsOfKeys } from './session.js';
import { type Document, insert, remove, replace, type Store, type Write } from './store/port.js';
import { retrying } from './store/retry.js';
import { apiKeys, users } from './user.js';

export interface KeyReset {
  /** Of the user. */
  name: string;
  /** Of the new key. */
  hash: string;
  /** Revokes all other keys of the user. */
  revoke: boolean;
  /** Makes the user active if they are not. */
  activate: boolean;
}

export interface KeyResetResult {
  keyName: string;
  revoked: number;
  /** Whether the new key is accepted. */
  active: boolean;
}

/** Keys of a user that are revoked at once; the limit of keys per user is below it. */
const keyLimit = 1000;

/** Adds an unlimited key. Undefined: there is no such user. */
export function resetKey(
  store: Store,
  { name, hash, revoke, activate }: KeyReset,
): Promise<KeyResetResult | undefined> {
  return retrying(async () => {
    const user = await store.find(users, 'name', [name]);
    if (user === undefined) return undefined;
    const entries: AuditEntry[] = [];
    const writes: Write[] = [];
    const activates = activate && !user.value.active;
    if (activates) {
      const after = { ...user.value, active: true, modifiedTime: timestamp(), modifiedBy: 'system' };
      writes.push(replace(users, user, after));
      entries.push(entryOf(users.auditedAs, 'update', user.id, user.value, after));
    }
    const held = revoke ? await keysOf(store, user.id) : [];
    for (const key of held) {
      writes.push(remove(apiKeys, key));
      entries.push(entryOf(apiKeys.auditedAs, 'delete', key.id, key.value, null));
    }
    if (revoke) {
      const over = await sessionsOfKeys(store, user.id, () => true);
      writes.push(...over.map((session) => remove(sessions, session)));
    }
    const id = uuidv7();
    const keyName = `reset-${id.slice(-12)}`;
    const key = { userId: user.id, name: keyName, hash, creationTime: timestamp(), createdBy: 'system' };
    writes.push(insert(apiKeys, id, key));
    entries.push(entryOf(apiKeys.auditedAs, 'create', id, null, key));
    const principal = { id: '00000000-0000-0000-0000-000000000000', name: 'system', superUser: true };
    const audit = await auditedAll(store, { principal, requestId: 'copse-user-reset-key' }, entries);
    await store.write([...writes, ...audit.writes]);
    return { keyName, revoked: held.length, active: user.value.active || activates };
  });
}

function keysOf(store: Store, userId: string): Promise<Document<ApiKeyRecord>[]> {
  return store.page(apiKeys, { order: 'id', filter: { user_id: userId }, limit: keyLimit });
}

function entryOf(type: string, verb: string, id: string, before: unknown, after: unknown): AuditEntry {
  return { action: `${type}.${verb}`, resource: { type, id }, before, after };
}
