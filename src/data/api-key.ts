/** API keys of users: created, listed, rotated and revoked. How a key identifies its user: user.ts. */
import { uuidv7 } from 'uuidv7';
import {
  type ApiKey,
  type ApiKeyCreate,
  type ApiKeyRecord,
  type ApiKeyRotation,
  type NewApiKey,
  presentApiKey,
} from '../model/api-key.js';
import { timestamp } from '../model/common.js';
import { ApiError, notFound } from '../model/error.js';
import { checkApiKeySpec } from '../model/key-limits.js';
import { audited } from './audit.js';
import type { Caller } from './caller.js';
import { withName } from './change.js';
import { keyTallies } from './key-limit.js';
import { keyUses } from './key-use.js';
import type { ProjectData } from './project.js';
import { sessions, sessionsOfKeys } from './session.js';
import {
  type CollectionSpec,
  type Document,
  insert,
  type ListPage,
  remove,
  replace,
  type Store,
  type TextPage,
  type Write,
} from './store/port.js';
import { retrying } from './store/retry.js';
import { apiKeys, formerKeys, newApiKey, type UserData } from './user.js';

/** Maximum number of keys per user. */
const keyLimit = 100;

/** Maximum number of former secrets of a key that are still valid. */
const formerLimit = 10;

export class ApiKeyData {
  readonly #store: Store;
  readonly #users: UserData;
  readonly #projects: ProjectData;

  constructor(store: Store, userData: UserData, projectData: ProjectData) {
    this.#store = store;
    this.#users = userData;
    this.#projects = projectData;
  }

  /** The keys of a user. */
  async list(caller: Caller, userId: string, page: ListPage): Promise<TextPage> {
    await this.#users.get(caller, userId);
    const { signal } = caller;
    const found = await this.#store.pageTexts(apiKeys, { ...page, filter: { user_id: userId } }, signal);
    const keys = JSON.parse(found.body.toString()) as ApiKey[];
    const shown = await Promise.all(keys.map((key) => this.#used(key, signal)));
    return { ...found, body: Buffer.from(JSON.stringify(shown)) };
  }

  /** A key of a user. Absent, or of another user: `not_found`. */
  async get(caller: Caller, userId: string, id: string): Promise<{ key: ApiKey; revision: number }> {
    const { value, revision } = await this.#find(caller, userId, id);
    return { key: await this.#used(presentApiKey(id, value), caller.signal), revision };
  }

  async #find(caller: Caller, userId: string, id: string): Promise<Document<ApiKeyRecord>> {
    const found = await this.#store.get(apiKeys, id, caller.signal);
    if (found?.value.userId !== userId) throw notFound();
    return found;
  }

  async #used(key: ApiKey, signal: AbortSignal): Promise<ApiKey> {
    const use = await this.#store.get(keyUses, key.metadata.id, signal);
    return use === undefined ? key : { ...key, status: { ...key.status, lastUsedTime: use.value.time } };
  }

  /** The only response that has the key itself. */
  async create(caller: Caller, userId: string, { metadata, spec }: ApiKeyCreate): Promise<NewApiKey> {
    const user = await this.#users.get(caller, userId);
    if ((await this.#store.count(apiKeys, { filter: { user_id: userId } }, caller.signal)) >= keyLimit)
      throw new ApiError('unprocessable', `A user has at most ${keyLimit} API keys; delete one first.`);
    const { name, expiry } = metadata;
    if (spec !== undefined) checkApiKeySpec(spec);
    await this.#checkProjects(caller, spec?.projectIds ?? []);
    const key = newApiKey();
    const id = uuidv7();
    const record: ApiKeyRecord = {
      userId: user.id,
      name,
      hash: this.#users.hash(key),
      ...(expiry === undefined ? {} : { expiry: future(expiry) }),
      ...(spec === undefined || Object.keys(spec).length === 0 ? {} : { spec }),
      creationTime: timestamp(),
      createdBy: caller.principal.name,
    };
    const taken = `The user already has an API key named "${name}".`;
    const write = () => this.#write(caller, 'create', id, undefined, record, [insert(apiKeys, id, record)]);
    await withName(retrying(write), taken);
    return { ...presentApiKey(id, record), key };
  }

  async #checkProjects(caller: Caller, ids: readonly string[]): Promise<void> {
    for (const [index, id] of ids.entries()) {
      const found = await this.#projects.get(caller, id).catch((error: unknown) => {
        if (error instanceof ApiError && error.code === 'not_found') return undefined;
        throw error;
      });
      if (found !== undefined) continue;
      const message = 'There is no such project, or you may not see it.';
      const errors = [{ pointer: `/spec/projectIds/${index}`, message }];
      throw new ApiError('invalid_reference', message, { errors });
    }
  }

  /**
   * Replaces the secret of a key, and returns the new one. Its limits, its expiry and what was counted for it stay.
   * Former secrets end after the overlap at the latest.
   */
  rotate(caller: Caller, userId: string, id: string, { overlap = 0 }: ApiKeyRotation): Promise<NewApiKey> {
    const key = newApiKey();
    return retrying(async () => {
      const found = await this.#find(caller, userId, id);
      caller.precondition?.({ revision: found.revision, wishRevision: found.revision });
      const { hash, generation = 0 } = found.value;
      const now = Date.now();
      const end = now + overlap * 1000;
      const next: ApiKeyRecord = {
        ...found.value,
        hash: this.#users.hash(key),
        generation: generation + 1,
        rotationTime: timestamp(new Date(now)),
      };
      const writes: Write[] = [replace(apiKeys, found, next)];
      const formers = await this.#formers(id, caller.signal);
      const valid = formers.filter(({ value }) => Math.min(Date.parse(value.until), end) > now);
      if (overlap > 0 && valid.length >= formerLimit)
        throw new ApiError(
          'unprocessable',
          `${formerLimit} former secrets of the key are still valid; rotate it without an overlap.`,
        );
      for (const former of formers) {
        if (!valid.includes(former)) writes.push(remove(formerKeys, former));
        else if (Date.parse(former.value.until) > end)
          writes.push(replace(formerKeys, former, { ...former.value, until: timestamp(new Date(end)) }));
      }
      if (overlap > 0)
        writes.push(
          insert(formerKeys, uuidv7(), { keyId: id, hash, generation, until: timestamp(new Date(end)) }),
        );
      const former = overlap > 0 ? [generation] : [];
      const left = [...valid.map(({ value }) => value.generation), ...former];
      const over = await sessionsOfKeys(
        this.#store,
        userId,
        (session) => session.keyId === id && !left.includes(session.generation ?? 0),
      );
      writes.push(...over.map((session) => remove(sessions, session)));
      await this.#write(caller, 'rotate', id, found.value, next, writes);
      return { ...presentApiKey(id, next), key };
    });
  }

  /** Revokes a key: the next request that shows it is refused, by any process, and its sessions are over. */
  delete(caller: Caller, userId: string, id: string): Promise<void> {
    return retrying(async () => {
      const { signal } = caller;
      const found = await this.#find(caller, userId, id);
      caller.precondition?.({ revision: found.revision, wishRevision: found.revision });
      const others: Write[] = (await this.#formers(id, signal)).map((former) => remove(formerKeys, former));
      const over = await sessionsOfKeys(this.#store, userId, ({ keyId }) => keyId === id);
      others.push(...over.map((session) => remove(sessions, session)));
      for (const collection of [keyUses, keyTallies] as CollectionSpec<unknown>[]) {
        const attached = await this.#store.get(collection, id, signal);
        if (attached !== undefined) others.push(remove(collection, attached));
      }
      await this.#write(caller, 'delete', id, found.value, undefined, [remove(apiKeys, found), ...others]);
    });
  }

  #formers(keyId: string, signal: AbortSignal) {
    const query = { order: 'id', filter: { key_id: keyId }, limit: 2 * formerLimit };
    return this.#store.page(formerKeys, query, signal);
  }

  /** Stores a change of a key with the record of it. */
  async #write(
    caller: Caller,
    action: string,
    id: string,
    before: ApiKeyRecord | undefined,
    after: ApiKeyRecord | undefined,
    writes: readonly Write[],
  ): Promise<void> {
    const type = apiKeys.auditedAs;
    const resource = { type, id };
    const record = await audited(this.#store, caller, `${type}.${action}`, resource, before, after);
    await this.#store.write([...writes, ...record], caller.signal);
  }
}

function future(text: string): string {
  const time = Date.parse(text);
  if (time > Date.now()) return timestamp(new Date(time));
  const message = 'The expiry must be a time in the future.';
  throw new ApiError('unprocessable', message, { errors: [{ pointer: '/metadata/expiry', message }] });
}
