/** API keys of users: created, listed and revoked. How a key identifies its user: user.ts. */
import { type ApiKeyCreate, type ApiKeyRecord, type NewApiKey, presentApiKey } from '../model/api-key.js';
import { timestamp } from '../model/common.js';
import { ApiError, notFound } from '../model/error.js';
import type { Caller } from './caller.js';
import { added, removed, withName } from './change.js';
import type { Document, ListPage, Store, TextPage } from './store/port.js';
import { apiKeys, newApiKey, type UserData } from './user.js';

/** Maximum number of keys per user. */
const keyLimit = 100;

export class ApiKeyData {
  readonly #store: Store;
  readonly #users: UserData;

  constructor(store: Store, userData: UserData) {
    this.#store = store;
    this.#users = userData;
  }

  /** The keys of a user. */
  async list(caller: Caller, userId: string, page: ListPage): Promise<TextPage> {
    await this.#users.get(caller, userId);
    return this.#store.pageTexts(apiKeys, { ...page, filter: { user_id: userId } }, caller.signal);
  }

  /** A key of a user. Absent, or of another user: `not_found`. */
  async get(caller: Caller, userId: string, id: string): Promise<Document<ApiKeyRecord>> {
    const found = await this.#store.get(apiKeys, id, caller.signal);
    if (found?.value.userId !== userId) throw notFound();
    return found;
  }

  /** The only response that has the key itself. */
  async create(caller: Caller, userId: string, { metadata }: ApiKeyCreate): Promise<NewApiKey> {
    const user = await this.#users.get(caller, userId);
    if ((await this.#store.count(apiKeys, { filter: { user_id: userId } }, caller.signal)) >= keyLimit)
      throw new ApiError('unprocessable', `A user has at most ${keyLimit} API keys; delete one first.`);
    const { name, expiry } = metadata;
    const key = newApiKey();
    const record: ApiKeyRecord = {
      userId: user.id,
      name,
      hash: this.#users.hash(key),
      ...(expiry === undefined ? {} : { expiry: future(expiry) }),
      creationTime: timestamp(),
      createdBy: caller.principal.name,
    };
    const taken = `The user already has an API key named "${name}".`;
    const { id } = await withName(added(this.#store, apiKeys, caller, record), taken);
    return { ...presentApiKey(id, record), key };
  }

  /** Revokes a key: the next request that shows it is refused, by any process. */
  async delete(caller: Caller, userId: string, id: string): Promise<void> {
    await this.get(caller, userId, id);
    await removed(this.#store, apiKeys, caller, id);
  }
}

function future(text: string): string {
  const time = Date.parse(text);
  if (time > Date.now()) return timestamp(new Date(time));
  const message = 'The expiry must be a time in the future.';
  throw new ApiError('unprocessable', message, { errors: [{ pointer: '/metadata/expiry', message }] });
}
