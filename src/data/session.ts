/** Sessions of browsers. They are in the store, so that all processes know them, and a revoked one ends at once in all. */
import { randomBytes } from 'node:crypto';
import { uuidv7 } from 'uuidv7';
import { defined, timestamp } from '../model/common.js';
import { ApiError, notFound } from '../model/error.js';
import type { Interruption } from '../model/interruption.js';
import { endOf, presentSession, type Session, type SessionRecord } from '../model/session.js';
import type { Principal } from '../model/user.js';
import { audited } from './audit.js';
import type { Caller } from './caller.js';
import { type AuditedCollection, removed } from './change.js';
import { keyHash } from './secret.js';
import type { SettingsData } from './settings.js';
import { ReadCache } from './store/cache.js';
import {
  type Document,
  insert,
  type ListPage,
  remove,
  replace,
  type Store,
  type TextPage,
} from './store/port.js';
import { retrying, unlessRaced } from './store/retry.js';
import { apiKeys, type UserData } from './user.js';

export const sessions: AuditedCollection<SessionRecord> = {
  name: 'sessions',
  auditedAs: 'session',
  columns: { user_id: 'text', hash: 'text', ends: 'text' },
  columnsOf: (_id, session) => ({
    user_id: session.userId,
    hash: session.hash,
    ends: timestamp(new Date(endOf(session))),
  }),
  present: presentSession,
  unique: { hash: ['hash'] },
  orders: { id: [], ends: ['ends'] },
  indexes: [['user_id']],
};

/** Maximum number of sessions per user: one more ends the oldest. */
const sessionLimit = 100;

/** Ended sessions that are removed at a time. */
const batch = 500;

/** In milliseconds. */
export interface SessionTimes {
  /** Without a request, a session ends after it. */
  idle: number;
  /** In any case, it ends after it. */
  lifetime: number;
}

export interface NewSession {
  session: Session;
  /** The value of the cookie, shown only here. */
  secret: string;
  /** Seconds for which the browser need keep it. */
  maxAge: number;
}

/** Those sessions of a user that are over: their key is revoked, or the secret that has begun them. */
export async function sessionsOfKeys(
  store: Store,
  userId: string,
  isOver: (session: SessionRecord) => boolean,
): Promise<Document<SessionRecord>[]> {
  const query = { order: 'id', filter: { user_id: userId }, limit: 2 * sessionLimit };
  return (await store.page(sessions, query)).filter(({ value }) => isOver(value));
}

export class SessionData {
  readonly #store: Store;
  readonly #secret: Buffer;
  readonly #users: UserData;
  readonly #settings: SettingsData;
  readonly #times: SessionTimes;
  readonly #known: ReadCache<Document<SessionRecord>>;
  /** Ids of those whose end is being put off. */
  readonly #renewing = new Set<string>();

  constructor(store: Store, secret: Buffer, userData: UserData, settings: SettingsData, times: SessionTimes) {
    this.#store = store;
    this.#secret = secret;
    this.#users = userData;
    this.#settings = settings;
    this.#times = times;
    this.#known = new ReadCache(store, [sessions.name]);
  }

  /** A session for a caller who has shown an API key. Its id and secret are always new. */
  async begin(caller: Caller, userAgent: string | undefined): Promise<NewSession> {
    this.#settings.demand('signIn', 'Signing in');
    const { id: userId, keyId, generation, sessionId } = caller.principal;
    if (keyId === undefined || sessionId !== undefined)
      throw new ApiError('forbidden', 'A session begins with an API key, and with no other credential.');
    const secret = randomBytes(32).toString('base64url');
    const [id, now] = [uuidv7(), Date.now()];
    const { idle, lifetime } = this.#times;
    const key = await this.#store.get(apiKeys, keyId, caller.signal);
    const end = Math.min(now + lifetime, Date.parse(key?.value.expiry ?? '') || Infinity);
    const record: SessionRecord = defined({
      userId,
      keyId,
      generation,
      hash: keyHash(this.#secret, secret),
      userAgent,
      creationTime: timestamp(new Date(now)),
      expiry: timestamp(new Date(end)),
      idleExpiry: timestamp(new Date(Math.min(now + idle, end))),
    });
    const resource = { type: sessions.auditedAs, id };
    await retrying(async () => {
      const removals = (await this.#superfluous(caller, now)).map((one) => remove(sessions, one));
      const audit = await audited(this.#store, caller, 'session.create', resource, null, record);
      await this.#store.write([...removals, insert(sessions, id, record), ...audit], caller.signal);
    });
    return { session: presentSession(id, record), secret, maxAge: Math.ceil((end - now) / 1000) };
  }

  /** Those of the user that have ended, and the oldest if there would be too many. */
  async #superfluous({ principal, signal }: Caller, now: number): Promise<Document<SessionRecord>[]> {
    const query = { order: 'id', filter: { user_id: principal.id }, limit: 2 * sessionLimit };
    const all = await this.#store.page(sessions, query, signal);
    const ended = all.filter(({ value }) => endOf(value) <= now);
    const others = all.filter(({ value }) => endOf(value) > now);
    return [...ended, ...others.slice(0, Math.max(0, others.length + 1 - sessionLimit))];
  }

  /** The user of a session's cookie; undefined: refused. A promise only if the store must be read. */
  identify(
    secret: string,
    interruption: Interruption,
    refused: (reason: string) => void,
  ): Promise<Principal | undefined> | Principal | undefined {
    const known = this.#known.get(secret);
    if (known !== undefined) return this.#principal(known, interruption, refused);
    const hash = keyHash(this.#secret, secret);
    return this.#known
      .read(secret, () => this.#store.find(sessions, 'hash', [hash], interruption))
      .then((found) => {
        if (found === undefined) refused('no session');
        return found && this.#principal(found, interruption, refused);
      });
  }

  #principal(
    session: Document<SessionRecord>,
    interruption: Interruption,
    refused: (reason: string) => void,
  ): Promise<Principal | undefined> | Principal | undefined {
    const { id, value } = session;
    if (endOf(value) <= Date.now()) {
      refused('session ended');
      return undefined;
    }
    this.#renew(session);
    const user = this.#users.ofKey(value.keyId, value.generation ?? 0, interruption, refused);
    const named = (one: Principal | undefined) => one && { ...one, sessionId: id };
    return user instanceof Promise ? user.then(named) : named(user);
  }

  /**
   * Puts the end off once half of the idle time is over, in the background: the request need not wait for it, and works
   * while nothing can be written.
   */
  #renew(session: Document<SessionRecord>): void {
    const { id, value } = session;
    const now = Date.now();
    const { idle } = this.#times;
    const next = Math.min(now + idle, Date.parse(value.expiry));
    const idleEnd = Date.parse(value.idleExpiry);
    if (idleEnd - now > idle / 2 || next <= idleEnd || this.#renewing.has(id)) return;
    this.#renewing.add(id);
    const renewed = { ...value, idleExpiry: timestamp(new Date(next)) };
    unlessRaced(this.#store.write([replace(sessions, session, renewed)]))
      // Availability reports an outage; the next request tries again.
      .catch(() => undefined)
      .finally(() => this.#renewing.delete(id))
      .catch(() => undefined);
  }

  /** Whether a caller who was identified by a session earlier would still be, as far as the session is concerned. */
  async isActive({ sessionId }: Principal, interruption?: Interruption): Promise<boolean> {
    if (sessionId === undefined) return true;
    const found = await this.#store.get(sessions, sessionId, interruption);
    return found !== undefined && endOf(found.value) > Date.now();
  }

  /** The sessions of a user. */
  async list(caller: Caller, userId: string, page: ListPage): Promise<TextPage> {
    await this.#users.get(caller, userId);
    return this.#store.pageTexts(sessions, { ...page, filter: { user_id: userId } }, caller.signal);
  }

  /** Ends a session of a user: the next request that belongs to it is refused, by any process. */
  async end(caller: Caller, userId: string, id: string): Promise<void> {
    const found = await this.#store.get(sessions, id, caller.signal);
    if (found?.value.userId !== userId) throw notFound();
    await removed(this.#store, sessions, caller, id);
  }

  /** Ends the session that the request belongs to. */
  async endOwn(caller: Caller): Promise<void> {
    const { id, sessionId } = caller.principal;
    if (sessionId === undefined)
      throw new ApiError(
        'unprocessable',
        'The request belongs to no session: its credential is not the cookie.',
      );
    await this.end(caller, id, sessionId);
  }

  /** Removes sessions that have ended; returns how many. */
  async purge(now: number, signal?: AbortSignal): Promise<number> {
    let count = 0;
    const span = { column: 'ends', before: timestamp(new Date(now)) };
    for (;;) {
      const ended = await this.#store.page(sessions, { order: 'ends', span, limit: batch }, signal);
      for (const session of ended) {
        if (await unlessRaced(this.#store.write([remove(sessions, session)], signal))) count += 1;
      }
      if (ended.length < batch) return count;
    }
  }
}
