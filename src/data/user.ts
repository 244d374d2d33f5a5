import { randomBytes } from 'node:crypto';
import { type ApiKeyRecord, presentApiKey } from '../model/api-key.js';
import { timestamp } from '../model/common.js';
import { ApiError, notFound } from '../model/error.js';
import type { Interruption } from '../model/interruption.js';
import { limitsOf } from '../model/key-limits.js';
import { merged } from '../model/merge-patch.js';
import type { Limits } from '../model/role.js';
import {
  checkUserName,
  type CurrentUser,
  presentUser,
  type Principal,
  type UserCreate,
  type UserPatch,
  type UserRecord,
} from '../model/user.js';
import type { Accepted, Caller } from './caller.js';
import { added, type AuditedCollection, modified, withName } from './change.js';
import type { KeyUse } from './key-use.js';
import { keyHash } from './secret.js';
import { ReadCache } from './store/cache.js';
import type { CollectionSpec, Document, ListPage, Store, TextPage } from './store/port.js';

export const users: AuditedCollection<UserRecord> = {
  name: 'users',
  auditedAs: 'user',
  columns: { name: 'text', labels: 'set' },
  columnsOf: (_id, { name, labels = [] }) => ({ name, labels }),
  present: presentUser,
  unique: { name: ['name'] },
  orders: { id: [] },
};

export const apiKeys: AuditedCollection<ApiKeyRecord> = {
  name: 'apikeys',
  auditedAs: 'apikey',
  columns: { user_id: 'text', name: 'text', hash: 'text' },
  columnsOf: (_id, key) => ({ user_id: key.userId, name: key.name, hash: key.hash }),
  present: presentApiKey,
  unique: { hash: ['hash'], name: ['user_id', 'name'] },
  orders: { id: [] },
};

/** A replaced secret that remains valid for a while. */
export interface FormerKeyRecord {
  keyId: string;
  hash: string;
  generation: number;
  /** RFC 3339. */
  until: string;
}

export const formerKeys: CollectionSpec<FormerKeyRecord> = {
  name: 'apikey_formers',
  columns: { key_id: 'text', hash: 'text' },
  columnsOf: (_id, former) => ({ key_id: former.keyId, hash: former.hash }),
  unique: { hash: ['hash'] },
  orders: { id: [] },
  indexes: [['key_id']],
};

/** The superusers; read at each request, so that a change of the settings takes effect at once. */
export interface SuperUserRule {
  superUsers: readonly string[];
  everyoneIsSuperUser: boolean;
}

/** A new key: 256 random bits after a prefix that secret scanners can detect. */
export function newApiKey(): string {
  return `copse_${randomBytes(32).toString('base64url')}`;
}

/** Why a credential is refused: no such key (or user), not the key of the given user, an inactive user, a key of the past. */
export type CredentialFault = 'unknown' | 'wrong' | 'inactive' | 'expired';

/** What a key stands for. */
interface Identity {
  id: string;
  name: string;
  keyId: string;
  generation: number;
  limits: Limits | undefined;
  /** Ms since 1970. */
  expires: number | undefined;
}

/** A key, with the age of the secret that was shown, and with the end of that secret. */
interface FoundKey {
  id: string;
  record: ApiKeyRecord;
  generation: number;
  expires: number | undefined;
}

export class UserData {
  readonly #store: Store;
  readonly #secret: Buffer;
  readonly #rule: () => SuperUserRule;
  readonly #identified: ReadCache<Identity>;
  readonly #use: Pick<KeyUse, 'note'> | undefined;
  /** By the id of the key: another cache, because whoever shows an id has no credential. */
  readonly #ofKey: ReadCache<Identity>;

  /** `use` learns which keys are used. */
  constructor(store: Store, secret: Buffer, rule: () => SuperUserRule, use?: Pick<KeyUse, 'note'>) {
    this.#store = store;
    this.#secret = secret;
    this.#rule = rule;
    this.#use = use;
    const read = [users.name, apiKeys.name, formerKeys.name];
    this.#identified = new ReadCache(store, read);
    this.#ofKey = new ReadCache(store, read);
  }

  /** Whether a caller who was identified earlier would still be. */
  async isActive({ id, keyId, generation }: Principal, interruption?: Interruption): Promise<boolean> {
    const user = await this.#store.get(users, id, interruption);
    if (user?.value.active !== true) return false;
    if (keyId === undefined) return true;
    const key = await this.#store.get(apiKeys, keyId, interruption);
    if (key === undefined || isPast(expiresOf(key.value))) return false;
    if (generation === undefined || generation === (key.value.generation ?? 0)) return true;
    const query = { order: 'id', filter: { key_id: keyId }, limit: 100 };
    const formers = await this.#store.page(formerKeys, query, interruption);
    return formers.some(({ value }) => value.generation === generation && !isPast(Date.parse(value.until)));
  }

  /** `labels`: only those who have all of them. */
  list(caller: Caller, page: ListPage, labels: readonly string[] = []): Promise<TextPage> {
    return this.#store.pageTexts(users, { ...page, has: { labels } }, caller.signal);
  }

  /** Absent: `not_found`. */
  async get(caller: Caller, id: string): Promise<Document<UserRecord>> {
    const user = await this.#store.get(users, id, caller.signal);
    if (user === undefined) throw notFound();
    return user;
  }

  /** The caller's own user. */
  async current(caller: Caller, memberships: CurrentUser['status']['projects']): Promise<CurrentUser> {
    const { id, value } = await this.get(caller, caller.principal.id);
    return {
      ...presentUser(id, value),
      status: { superUser: caller.principal.superUser, projects: memberships },
    };
  }

  create(caller: Caller, { metadata, spec }: UserCreate): Promise<Accepted> {
    const { name } = metadata;
    checkUserName(name);
    const user: UserRecord = {
      ...metadata,
      active: spec?.active ?? true,
      creationTime: timestamp(),
      createdBy: caller.principal.name,
    };
    return withName(added(this.#store, users, caller, user), `There is already a user named "${name}".`);
  }

  /** An inactive user's credentials are refused from the next request on, by any process. */
  patch(caller: Caller, id: string, patch: UserPatch): Promise<Accepted> {
    if (id === caller.principal.id && patch.spec?.active === false) {
      const message = 'You cannot deactivate yourself; another superuser can.';
      throw new ApiError('unprocessable', message, { errors: [{ pointer: '/spec/active', message }] });
    }
    return modified(this.#store, users, caller, id, (user) => {
      const { description: _, ...rest } = user;
      const { description } = merged({ description: user.description }, patch.metadata ?? {}) as {
        description?: string;
      };
      return {
        ...rest,
        ...(description === undefined ? {} : { description }),
        active: patch.spec?.active ?? user.active,
      };
    });
  }

  hash(key: string): string {
    return keyHash(this.#secret, key);
  }

  /**
   * The user of an API key, or undefined. A given name must be that user's; an unknown name, a wrong key and an
   * inactive user look the same, except to `refused`, which gets the reason for the log. The lookup is by HMAC, so its
   * timing says nothing about stored keys. A promise only if the store must be read.
   */
  identify(
    key: string,
    name?: string,
    interruption?: Interruption,
    refused?: (fault: CredentialFault) => void,
  ): Promise<Principal | undefined> | Principal | undefined {
    const known = this.#identified.get(key);
    if (known !== undefined) return this.#principal(known, name, refused);
    return this.#identified
      .read(key, () => this.#lookUp(key, name, interruption, refused))
      .then((user) => this.#principal(user, name, refused));
  }

  /**
   * The user of an API key by its id, as if the key itself were shown: for the sessions that it has begun. They end with
   * the secret that was shown, which `generation` tells from later ones.
   */
  ofKey(
    id: string,
    generation: number,
    interruption: Interruption,
    refused: (fault: CredentialFault) => void,
  ): Promise<Principal | undefined> | Principal | undefined {
    const name = `${id} ${generation}`;
    const known = this.#ofKey.get(name);
    if (known !== undefined) return this.#principal(known, undefined, refused);
    const look = async () => {
      const found = await this.#keyOf(id, generation, interruption);
      if (found === undefined) refused('unknown');
      return found && this.#identityOf(found, interruption, refused);
    };
    return this.#ofKey.read(name, look).then((user) => this.#principal(user, undefined, refused));
  }

  async #keyOf(id: string, generation: number, interruption: Interruption): Promise<FoundKey | undefined> {
    const key = await this.#store.get(apiKeys, id, interruption);
    if (key === undefined) return undefined;
    const { value: record } = key;
    const expires = expiresOf(record);
    if (generation === (record.generation ?? 0)) return { id, record, generation, expires };
    const query = { order: 'id', filter: { key_id: id }, limit: 100 };
    const formers = await this.#store.page(formerKeys, query, interruption);
    const former = formers.find(({ value }) => value.generation === generation);
    if (former === undefined) return undefined;
    const end = Math.min(expires ?? Infinity, Date.parse(former.value.until));
    return { id, record, generation, expires: end };
  }

  #principal(
    user: Identity | undefined,
    name: string | undefined,
    refused?: (fault: CredentialFault) => void,
  ): Principal | undefined {
    if (user === undefined) return undefined;
    if (isPast(user.expires)) {
      refused?.('expired');
      return undefined;
    }
    if (name !== undefined && name !== user.name) {
      refused?.('wrong');
      return undefined;
    }
    this.#use?.note(user.keyId);
    const { id, keyId, generation, limits } = user;
    const superUser = this.isSuperUser(user.name);
    if (limits === undefined) return { id, name: user.name, superUser, keyId, generation };
    return {
      id,
      name: user.name,
      superUser: false,
      everyProject: superUser,
      limits,
      keyId,
      generation,
    };
  }

  async #lookUp(
    key: string,
    name: string | undefined,
    interruption?: Interruption,
    refused?: (fault: CredentialFault) => void,
  ): Promise<Identity | undefined> {
    const found = await this.#findKey(this.hash(key), interruption);
    if (found === undefined) {
      // Counted, not read: whether there is such a user must not show in the time that this takes.
      const known =
        name === undefined || refused === undefined ? 0 : await this.#countNamed(name, interruption);
      refused?.(known === 0 ? 'unknown' : 'wrong');
      return undefined;
    }
    return this.#identityOf(found, interruption, refused);
  }

  async #identityOf(
    { id: keyId, record, generation, expires }: FoundKey,
    interruption?: Interruption,
    refused?: (fault: CredentialFault) => void,
  ): Promise<Identity | undefined> {
    const user = await this.#store.get(users, record.userId, interruption);
    if (user?.value.active === true) {
      return {
        id: user.id,
        name: user.value.name,
        keyId,
        generation,
        limits: limitsOf(record.spec),
        expires,
      };
    }
    refused?.('inactive');
    return undefined;
  }

  #countNamed(name: string, interruption?: Interruption): Promise<number> {
    return this.#store.count(users, { filter: { name } }, interruption);
  }

  /** The key with this secret, which may be a former one of it. */
  async #findKey(hash: string, interruption?: Interruption): Promise<FoundKey | undefined> {
    const found = await this.#store.find(apiKeys, 'hash', [hash], interruption);
    if (found !== undefined) {
      const { id, value: record } = found;
      return { id, record, generation: record.generation ?? 0, expires: expiresOf(record) };
    }
    const former = await this.#store.find(formerKeys, 'hash', [hash], interruption);
    const key = former && (await this.#store.get(apiKeys, former.value.keyId, interruption));
    if (former === undefined || key === undefined) return undefined;
    const { generation, until } = former.value;
    const expires = Math.min(expiresOf(key.value) ?? Infinity, Date.parse(until));
    return { id: key.id, record: key.value, generation, expires };
  }

  isSuperUser(name: string): boolean {
    const rule = this.#rule();
    return rule.everyoneIsSuperUser || rule.superUsers.includes(name);
  }
}

function expiresOf({ expiry }: ApiKeyRecord): number | undefined {
  return expiry === undefined ? undefined : Date.parse(expiry);
}

function isPast(time: number | undefined): boolean {
  return time !== undefined && time <= Date.now();
}
