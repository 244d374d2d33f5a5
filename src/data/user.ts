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

/** Who is a superuser; read at each request, so that a change of the settings counts at once. */
export interface SuperUserRule {
  superUsers: readonly string[];
  everyoneIsSuperUser: boolean;
}

/** A new key: 256 random bits behind a prefix that secret scanners can find. */
export function newApiKey(): string {
  return `copse_${randomBytes(32).toString('base64url')}`;
}

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

  /** Whether there is such a user who may do anything. */
  async isActive(id: string, interruption?: Interruption): Promise<boolean> {
    return (await this.#store.get(users, id, interruption))?.value.active === true;
  }

  hash(key: string): string {
    return keyHash(this.#secret, key);
  }

  /**
   * The user of an API key, or undefined. A name that is given must be that user's; an unknown name, a wrong key and
   * an inactive user look alike. The lookup is by HMAC, so its timing says nothing about stored keys. A promise only
   * where the store must be asked.
   */
  identify(
    key: string,
    name?: string,
    interruption?: Interruption,
  ): Promise<Principal | undefined> | Principal | undefined {
    const known = this.#identified.get(key);
    if (known !== undefined) return this.#principal(known, name);
    return this.#identified
      .read(key, () => this.#lookUp(key, interruption))
      .then((user) => this.#principal(user, name));
  }

  #principal(
    user: { id: string; name: string } | undefined,
    name: string | undefined,
  ): Principal | undefined {
    if (user === undefined || (name !== undefined && name !== user.name)) return undefined;
    return { id: user.id, name: user.name, superUser: this.#isSuperUser(user.name) };
  }

  async #lookUp(key: string, interruption?: Interruption): Promise<{ id: string; name: string } | undefined> {
    const found = await this.#store.find(apiKeys, 'hash', [this.hash(key)], interruption);
    const user =
      found === undefined ? undefined : await this.#store.get(users, found.value.userId, interruption);
    return user?.value.active === true ? { id: user.id, name: user.value.name } : undefined;
  }

  #isSuperUser(name: string): boolean {
    const rule = this.#rule();
    return rule.everyoneIsSuperUser || rule.superUsers.includes(name);
  }
}
