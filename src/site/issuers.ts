/** The configured OpenID Connect issuers, and the tokens of theirs that are known to be genuine. */
import { createHash } from 'node:crypto';
import { decodeJwt } from 'jose';
import { LRUCache } from 'lru-cache';
import type { IssuerConfig } from '../config.js';
import type { Refused, TokenVerifier } from '../data/token.js';
import type { Log } from '../model/log.js';
import type { Grants, ProjectRole } from '../model/role.js';
import { type Claimant, strongest } from '../model/token.js';
import { Issuer } from './issuer.js';

/** Characters of a token. */
const sizeLimit = 8192;

/** Tokens that are remembered as genuine. */
const tokenLimit = 10_000;

/** A JWS in compact form; its header is a JSON object. An API key has no dots. */
const compact = /^eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*$/;

interface Genuine {
  claimant: Claimant;
  issuer: Issuer;
  generation: number;
}

export class Issuers implements TokenVerifier {
  readonly #issuers: ReadonlyMap<string, Issuer>;
  /** By the SHA-256 of the token, so that a dump of the memory contains no list of them. */
  readonly #genuine = new LRUCache<string, Genuine>({ max: tokenLimit });

  constructor(configs: readonly IssuerConfig[], log: Log) {
    this.#issuers = new Map(configs.map((config) => [config.issuer, new Issuer(config, log)]));
  }

  recognizes(credential: string): boolean {
    return this.#issuers.size > 0 && compact.test(credential);
  }

  verify(token: string, refused: Refused): Promise<Claimant | undefined> | Claimant | undefined {
    if (token.length > sizeLimit) {
      refused('oversized');
      return undefined;
    }
    const hash = createHash('sha256').update(token).digest('base64');
    const known = this.#genuine.get(hash);
    if (known !== undefined && known.issuer.generation === known.generation) {
      if (known.claimant.expires > Date.now()) return known.claimant;
      this.#genuine.delete(hash);
    }
    return this.#verify(token, hash, refused);
  }

  async #verify(token: string, hash: string, refused: Refused): Promise<Claimant | undefined> {
    const issuer = this.#issuers.get(issuerOf(token) ?? '');
    if (issuer === undefined) {
      refused('unknown issuer');
      return undefined;
    }
    // Before the check: if the keys change during it, the token must be checked again.
    const { generation } = issuer;
    const payload = await issuer.verify(token);
    if (typeof payload === 'string') {
      refused(payload);
      return undefined;
    }
    const claimant = claimantOf(issuer.config, payload);
    this.#genuine.set(hash, { claimant, issuer, generation });
    return claimant;
  }
}

/** Who says that they have issued it. */
function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

function claimantOf(config: Required<IssuerConfig>, payload: Record<string, unknown>): Claimant {
  const { issuer, username, groups, grants, users } = config;
  const subject = String(payload['sub']);
  const name = claimOf(payload, username);
  const held = new Set(textsOf(claimOf(payload, groups), groups));
  const mine = grants.filter(({ group }) => held.has(group));
  return {
    issuer,
    subject,
    name: typeof name === 'string' && name !== '' ? name : subject,
    superUser: mine.some(({ superUser }) => superUser === true),
    grants: grantsOf(mine),
    expires: Number(payload['exp']) * 1000,
    users,
  };
}

/** A claim by its name, or by its path: `realm_access.roles`. */
function claimOf(payload: Record<string, unknown>, name: string): unknown {
  if (Object.hasOwn(payload, name)) return payload[name];
  let at: unknown = payload;
  for (const part of name.split('.')) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<string, unknown>)[part];
  }
  return at;
}

/** The groups in a claim: a list, or one; scopes are separated by spaces (RFC 6749, section 3.3). */
function textsOf(value: unknown, name: string): string[] {
  if (typeof value === 'string') return name === 'scope' ? value.split(' ') : [value];
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function grantsOf(mine: Required<IssuerConfig>['grants']): Grants | undefined {
  const projects: Record<string, ProjectRole> = {};
  const organizations: Record<string, ProjectRole> = {};
  const add = (roles: Record<string, ProjectRole>, id: string | undefined, role: ProjectRole | undefined) => {
    const stronger = id === undefined ? undefined : strongest(roles[id], role);
    if (id !== undefined && stronger !== undefined) roles[id] = stronger;
  };
  for (const { project, organization, role } of mine) {
    add(projects, project, role);
    add(organizations, organization, role);
  }
  const sorted = [projects, organizations].map((roles) => Object.entries(roles).sort());
  const superUser = mine.some((one) => one.superUser === true);
  if (!superUser && sorted.flat().length === 0) return undefined;
  const key = createHash('sha256')
    .update(JSON.stringify([superUser, sorted]))
    .digest('base64url');
  return { projects, organizations, key };
}
