/**
 * Users by the tokens of OpenID Connect issuers. A subject of an issuer is bound to a user once, when it is first seen;
 * from then on its name makes no difference. What its groups may do is not stored: it is part of each token.
 */
import { createHash } from 'node:crypto';
import { uuidv7 } from 'uuidv7';
import { timestamp } from '../model/common.js';
import type { Interruption } from '../model/interruption.js';
import { type Claimant, distinctUserName, type IdentityRecord, userNameFrom } from '../model/token.js';
import { isOwnName, type Principal, type UserRecord } from '../model/user.js';
import { audited } from './audit.js';
import { isSetUp } from './first-superuser.js';
import { ReadCache } from './store/cache.js';
import { type CollectionSpec, insert, type Store, StoreConflict } from './store/port.js';
import { retrying } from './store/retry.js';
import { type SuperUserRule, users } from './user.js';

export const identities: CollectionSpec<IdentityRecord> = {
  name: 'identities',
  columns: { issuer: 'text', subject: 'text', user_id: 'text' },
  columnsOf: (_id, identity) => ({
    issuer: identity.issuer,
    subject: identity.subject,
    user_id: identity.userId,
  }),
  // A user has one subject at each issuer: otherwise a second one with the same name could become that user.
  unique: { subject: ['issuer', 'subject'], user: ['issuer', 'user_id'] },
  orders: { id: [] },
};

/** Receives why a token is refused, for the log. */
export type Refused = (reason: string) => void;

/** Whoever can tell whether a token is genuine. */
export interface TokenVerifier {
  /** Whether the credential is a token of an issuer, and no API key. */
  recognizes(credential: string): boolean;
  /**
   * What a genuine token says; undefined: refused. Throws `unavailable` if that cannot be decided now. A promise only if
   * the token is not known yet.
   */
  verify(token: string, refused: Refused): Promise<Claimant | undefined> | Claimant | undefined;
}

interface KnownUser {
  id: string;
  name: string;
  active: boolean;
}

export class TokenData {
  readonly #store: Store;
  readonly #verifier: TokenVerifier;
  readonly #rule: () => SuperUserRule;
  readonly #known: ReadCache<KnownUser>;

  constructor(store: Store, verifier: TokenVerifier, rule: () => SuperUserRule) {
    this.#store = store;
    this.#verifier = verifier;
    this.#rule = rule;
    this.#known = new ReadCache(store, [users.name, identities.name]);
  }

  recognizes(credential: string): boolean {
    return this.#verifier.recognizes(credential);
  }

  /** The user of a token; undefined: refused. A promise only if something must be read. */
  identify(
    token: string,
    requestId: string,
    interruption: Interruption,
    refused: Refused,
  ): Promise<Principal | undefined> | Principal | undefined {
    const claimant = this.#verifier.verify(token, refused);
    if (claimant === undefined) return undefined;
    if (claimant instanceof Promise)
      return claimant.then((one) => one && this.#identify(one, requestId, interruption, refused));
    const known = this.#known.get(keyOf(claimant));
    if (known !== undefined) return this.#principal(claimant, known, refused);
    return this.#identify(claimant, requestId, interruption, refused);
  }

  async #identify(
    claimant: Claimant,
    requestId: string,
    interruption: Interruption,
    refused: Refused,
  ): Promise<Principal | undefined> {
    const user = await this.#known.read(keyOf(claimant), async () => {
      const known = await this.#find(claimant, interruption);
      return known ?? this.#meet(claimant, requestId, interruption, refused);
    });
    return user && this.#principal(claimant, user, refused);
  }

  #principal(
    { superUser, grants, expires }: Claimant,
    { id, name, active }: KnownUser,
    refused: Refused,
  ): Principal | undefined {
    if (!active) {
      refused('inactive');
      return undefined;
    }
    const { everyoneIsSuperUser, superUsers } = this.#rule();
    return {
      id,
      name,
      superUser: superUser || everyoneIsSuperUser || superUsers.includes(name),
      grants,
      expires,
    };
  }

  async #find({ issuer, subject }: Claimant, interruption: Interruption): Promise<KnownUser | undefined> {
    const found = await this.#store.find(identities, 'subject', [issuer, subject], interruption);
    if (found === undefined) return undefined;
    const user = await this.#store.get(users, found.value.userId, interruption);
    return user && { id: user.id, name: user.value.name, active: user.value.active };
  }

  /** Binds a subject that is seen for the first time to its user. Other processes may do the same at the same time. */
  async #meet(
    claimant: Claimant,
    requestId: string,
    interruption: Interruption,
    refused: Refused,
  ): Promise<KnownUser | undefined> {
    const bind =
      claimant.users === 'create' ? this.#create(claimant, requestId) : this.#adopt(claimant, requestId);
    try {
      const user = await bind;
      if (user === undefined) refused('no user');
      return user;
    } catch (error) {
      if (!(error instanceof StoreConflict) || error.kind !== 'unique') throw error;
      const found = await this.#find(claimant, interruption);
      if (found === undefined) refused('name taken');
      return found;
    }
  }

  /** A new user, with a name that nobody has: a token must not make anybody another user, nor a superuser by name. */
  async #create(claimant: Claimant, requestId: string): Promise<KnownUser | undefined> {
    // Whoever comes first must not close the setup of the site to its owner.
    if (!claimant.superUser && !(await isSetUp(this.#store))) return undefined;
    const plain = userNameFrom(claimant.name) ?? userNameFrom(claimant.subject) ?? 'user';
    const suffix = createHash('sha256').update(keyOf(claimant)).digest('hex').slice(0, 8);
    const taken =
      isOwnName(plain) ||
      this.#rule().superUsers.includes(plain) ||
      (await this.#store.find(users, 'name', [plain])) !== undefined;
    const name = taken ? distinctUserName(plain, suffix) : plain;
    const [id, creationTime] = [uuidv7(), timestamp()];
    const user: UserRecord = { name, active: true, creationTime, createdBy: name };
    const actor = { principal: { id, name, superUser: false }, requestId };
    const resource = { type: users.auditedAs, id };
    await retrying(async () =>
      this.#store.write([
        insert(users, id, user),
        this.#identityOf(claimant, id),
        ...(await audited(this.#store, actor, 'user.create', resource, undefined, user)),
      ]),
    );
    return { id, name, active: true };
  }

  /** The existing user with exactly this name, unless they are a superuser: the issuer must not decide who that is. */
  async #adopt(claimant: Claimant, requestId: string): Promise<KnownUser | undefined> {
    const found = await this.#store.find(users, 'name', [claimant.name]);
    if (found === undefined || this.#rule().superUsers.includes(claimant.name)) return undefined;
    const { name, active } = found.value;
    const actor = { principal: { id: found.id, name, superUser: false }, requestId };
    const { issuer, subject } = claimant;
    const identity = this.#identityOf(claimant, found.id);
    const resource = { type: 'identity', id: identity.id };
    const after = { issuer, subject, userId: found.id };
    await retrying(async () =>
      this.#store.write([
        identity,
        ...(await audited(this.#store, actor, 'identity.create', resource, undefined, after)),
      ]),
    );
    return { id: found.id, name, active };
  }

  #identityOf({ issuer, subject }: Claimant, userId: string) {
    return insert(identities, uuidv7(), { issuer, subject, userId, creationTime: timestamp() });
  }
}

/** Neither part contains a line break that could shift the other: an issuer is a URL from the configuration. */
function keyOf({ issuer, subject }: Claimant): string {
  return `${issuer}\n${subject}`;
}
