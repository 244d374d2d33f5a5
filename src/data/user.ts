import { randomBytes } from 'node:crypto';
import type { Interruption } from '../model/interruption.js';
import type { ApiKeyRecord, Principal, UserRecord } from '../model/user.js';
import { keyHash } from './secret.js';
import { ReadCache } from './store/cache.js';
import type { CollectionSpec, Store } from './store/port.js';

export const users: CollectionSpec<UserRecord> = {
  name: 'users',
  columns: { name: 'text' },
  columnsOf: (_id, user) => ({ name: user.name }),
  unique: { name: ['name'] },
  orders: { id: [] },
};

export const apiKeys: CollectionSpec<ApiKeyRecord> = {
  name: 'apikeys',
  columns: { user_id: 'text', name: 'text', hash: 'text' },
  columnsOf: (_id, key) => ({ user_id: key.userId, name: key.name, hash: key.hash }),
  unique: { hash: ['hash'], name: ['user_id', 'name'] },
  orders: { id: [] },
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

/** Why a credential is refused: no such key (or user), not the key of the given user, an inactive user. */
export type CredentialFault = 'unknown' | 'wrong' | 'inactive';

export class UserData {
  readonly #store: Store;
  readonly #secret: Buffer;
  readonly #rule: () => SuperUserRule;
  readonly #identified: ReadCache<{ id: string; name: string }>;

  constructor(store: Store, secret: Buffer, rule: () => SuperUserRule) {
    this.#store = store;
    this.#secret = secret;
    this.#rule = rule;
    this.#identified = new ReadCache(store, [users.name, apiKeys.name]);
  }

  /** Whether the user exists and is active. */
  async isActive(id: string, interruption?: Interruption): Promise<boolean> {
    return (await this.#store.get(users, id, interruption))?.value.active === true;
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

  #principal(
    user: { id: string; name: string } | undefined,
    name: string | undefined,
    refused?: (fault: CredentialFault) => void,
  ): Principal | undefined {
    if (user === undefined) return undefined;
    if (name !== undefined && name !== user.name) {
      refused?.('wrong');
      return undefined;
    }
    return { id: user.id, name: user.name, superUser: this.#isSuperUser(user.name) };
  }

  async #lookUp(
    key: string,
    name: string | undefined,
    interruption?: Interruption,
    refused?: (fault: CredentialFault) => void,
  ): Promise<{ id: string; name: string } | undefined> {
    const found = await this.#store.find(apiKeys, 'hash', [this.hash(key)], interruption);
    if (found === undefined) {
      const named =
        name === undefined || refused === undefined
          ? undefined
          : await this.#store.find(users, 'name', [name], interruption);
      refused?.(named === undefined ? 'unknown' : 'wrong');
      return undefined;
    }
    const user = await this.#store.get(users, found.value.userId, interruption);
    if (user?.value.active === true) return { id: user.id, name: user.value.name };
    refused?.('inactive');
    return undefined;
  }

  #isSuperUser(name: string): boolean {
    const rule = this.#rule();
    return rule.everyoneIsSuperUser || rule.superUsers.includes(name);
  }
}
