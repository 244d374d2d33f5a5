/** SSH public keys: each user sees and changes only their own. */
import { timestamp } from '../model/common.js';
import { ApiError, notFound } from '../model/error.js';
import { presentSshKey, readSshKey, type SshKeyCreate, type SshKeyRecord } from '../model/ssh-key.js';
import type { Accepted, Caller } from './caller.js';
import { added, type AuditedCollection, removed, withName } from './change.js';
import { ResourceData } from './resource.js';
import { type ListPage, StoreConflict, type TextPage } from './store/port.js';

export const sshKeys: AuditedCollection<SshKeyRecord> = {
  name: 'sshkeys',
  auditedAs: 'sshkey',
  columns: { user_id: 'text', name: 'text', fingerprint: 'text' },
  columnsOf: (_id, { userId, name, fingerprint }) => ({ user_id: userId, name, fingerprint }),
  present: presentSshKey,
  unique: { name: ['user_id', 'name'], fingerprint: ['user_id', 'fingerprint'] },
  orders: { id: [] },
};

/** Maximum number of keys per user. */
const keyLimit = 100;

export class SshKeyData extends ResourceData {
  list(caller: Caller, page: ListPage): Promise<TextPage> {
    return this.store.pageTexts(
      sshKeys,
      { ...page, filter: { user_id: caller.principal.id } },
      caller.signal,
    );
  }

  async create(caller: Caller, { name, key: text }: SshKeyCreate): Promise<Accepted> {
    const userId = caller.principal.id;
    const read = readSshKey(text);
    if ('fault' in read) throw refused('unprocessable', '/key', read.fault);
    if ((await this.store.count(sshKeys, { filter: { user_id: userId } }, caller.signal)) >= keyLimit)
      throw refused(
        'unprocessable',
        '',
        `You already have ${keyLimit} SSH keys, the maximum; delete one first.`,
      );
    const record = { userId, name, ...read, creationTime: timestamp() };
    const adding = added(this.store, sshKeys, caller, record).catch((error: unknown) => {
      if (!(error instanceof StoreConflict) || error.key !== 'fingerprint') throw error;
      throw refused('already_exists', '/key', 'You already have this key, under another name.');
    });
    return withName(adding, `You already have a key named "${name}".`, '/name');
  }

  async delete(caller: Caller, name: string): Promise<void> {
    const found = await this.store.find(sshKeys, 'name', [caller.principal.id, name], caller.signal);
    if (found === undefined) throw notFound();
    await removed(this.store, sshKeys, caller, found.id);
  }
}

function refused(code: 'unprocessable' | 'already_exists', pointer: string, message: string): ApiError {
  return new ApiError(code, message, { errors: [{ pointer, message }] });
}
