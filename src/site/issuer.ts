/**
 * One OpenID Connect issuer: its metadata (OpenID Connect Discovery 1.0, section 4) and keys, and the check of its tokens
 * (RFC 7519, RFC 8725, RFC 9068). Whatever goes wrong at the issuer makes its tokens undecidable, never wrong or right.
 */
import {
  createRemoteJWKSet,
  customFetch,
  decodeProtectedHeader,
  errors,
  type JWTPayload,
  jwtVerify,
} from 'jose';
import type { IssuerConfig } from '../config.js';
import { ApiError } from '../model/error.js';
import type { Log } from '../model/log.js';

const seconds = 1000;

/** Bytes of a response of an issuer. */
const responseLimit = 512 * 1024;

/** Ms after a failure during which the issuer is not asked again. */
const pause = 1000;

export const defaults = {
  algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'],
  leeway: 30,
  users: 'create',
  username: 'preferred_username',
  groups: 'groups',
  grants: [],
  timeout: 3,
  keysMaxAge: 600,
  keysCooldown: 30,
} as const satisfies Omit<IssuerConfig, 'issuer' | 'audience'>;

/** Types of access tokens; those of logout tokens, security events and proofs are others (RFC 8725, section 3.11). */
const tokenTypes = ['jwt', 'at+jwt', 'application/at+jwt'];

/** Keys of an issuer, until another set replaces them. */
type KeySet = ReturnType<typeof createRemoteJWKSet>;

/** The issuer cannot be asked, or says something else than an issuer should. */
class IssuerFault extends Error {
  override readonly name = 'IssuerFault';
}

export class Issuer {
  readonly config: Required<IssuerConfig>;
  readonly #log: Log;
  #keys: KeySet | undefined;
  #discovering: Promise<KeySet> | undefined;
  #keysText = '';
  /** Counts the changes of the keys. */
  #generation = 0;
  #failed: { at: number; error: unknown } | undefined;

  constructor(config: IssuerConfig, log: Log) {
    this.config = { ...defaults, ...config };
    this.#log = log;
  }

  /** Changes when a token that was genuine may not be so any more, because its key may be gone. */
  get generation(): number {
    return this.#keys?.fresh === true ? this.#generation : NaN;
  }

  /** What a genuine token says, or what is wrong with it. Throws `unavailable` if the issuer cannot be asked. */
  async verify(token: string): Promise<JWTPayload | string> {
    const { issuer, audience, leeway } = this.config;
    const algorithms = [...this.config.algorithms];
    // Before the issuer is asked for anything.
    const header = headerOf(token);
    if (header === undefined) return 'malformed';
    const { alg, typ = 'JWT' } = header;
    if (typeof alg !== 'string' || !algorithms.includes(alg)) return 'algorithm';
    if (typeof typ !== 'string' || !tokenTypes.includes(typ.toLowerCase())) return 'type';
    const keys = await this.#keySet();
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer,
        audience,
        algorithms,
        clockTolerance: leeway,
        requiredClaims: ['exp', 'sub'],
      });
      return this.#checked(payload) ?? payload;
    } catch (error) {
      const reason = faultOfToken(error);
      if (reason === undefined) throw this.#unavailable(error);
      return reason;
    }
  }

  /** What jose leaves to its callers. */
  #checked(payload: JWTPayload): string | undefined {
    const { sub, iat = 0 } = payload as Readonly<Record<string, unknown>>;
    if (typeof sub !== 'string' || sub === '' || sub.length > 255) return 'subject';
    if (typeof iat !== 'number' || iat > Date.now() / seconds + this.config.leeway)
      return 'issued in the future';
    // A token bound to a key of its sender (RFC 7800) is no bearer token (RFC 9449, section 7.2).
    return payload['cnf'] === undefined ? undefined : 'bound to a key';
  }

  async #keySet(): Promise<KeySet> {
    if (this.#keys !== undefined) return this.#keys;
    this.#discovering ??= this.#discover().finally(() => (this.#discovering = undefined));
    try {
      return (this.#keys = await this.#discovering);
    } catch (error) {
      throw this.#unavailable(error);
    }
  }

  async #discover(): Promise<KeySet> {
    const { issuer, timeout, keysCooldown, keysMaxAge } = this.config;
    const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const response = await this.#fetch(address, AbortSignal.timeout(timeout * seconds));
    const metadata = (await response.json()) as Record<string, unknown> | null;
    // Section 4.3: otherwise one issuer could speak for another.
    if (metadata?.['issuer'] !== issuer) throw new IssuerFault('its metadata name another issuer');
    const keysAddress = metadata['jwks_uri'];
    if (typeof keysAddress !== 'string' || !URL.canParse(keysAddress))
      throw new IssuerFault('its metadata have no jwks_uri');
    const url = new URL(keysAddress);
    const { protocol, hostname } = new URL(issuer);
    if (url.protocol !== 'https:' && (protocol === 'https:' || url.hostname !== hostname))
      throw new IssuerFault('its jwks_uri is not an https URL');
    return createRemoteJWKSet(url, {
      timeoutDuration: Math.ceil(timeout * seconds),
      cooldownDuration: keysCooldown * seconds,
      cacheMaxAge: keysMaxAge * seconds,
      [customFetch]: async (keysUrl, { signal }) => {
        const found = await this.#fetch(keysUrl, signal);
        const text = await found.clone().text();
        if (text !== this.#keysText) this.#generation += 1;
        this.#keysText = text;
        return found;
      },
    });
  }

  /** A response of the issuer, whole. */
  async #fetch(url: string, signal: AbortSignal): Promise<Response> {
    const failed = this.#failed;
    if (failed !== undefined && performance.now() - failed.at < pause) throw failed.error;
    // A redirect could lead anywhere.
    const response = await fetch(url, {
      signal,
      redirect: 'error',
      headers: { Accept: 'application/json' },
    });
    if (response.status !== 200) throw new IssuerFault(`it responds with ${response.status}`);
    return new Response(await bounded(response), { headers: { 'Content-Type': 'application/json' } });
  }

  #unavailable(cause: unknown): ApiError {
    // Its keys may have moved.
    if (this.#keys?.fresh !== true) this.#keys = undefined;
    // Once for all requests that have met the same failure.
    if (cause !== this.#failed?.error) {
      this.#failed = { at: performance.now(), error: cause };
      this.#log.warn({ err: cause, issuer: this.config.issuer }, 'tokens of an issuer cannot be checked');
    }
    const message = 'The issuer of the token cannot be asked for its keys now. Try again later.';
    return new ApiError('unavailable', message, { cause, headers: { 'Retry-After': '2' } });
  }
}

async function bounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array> = response.body ?? [];
  for await (const chunk of parts) {
    size += chunk.length;
    if (size > responseLimit) throw new IssuerFault('its response is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function headerOf(token: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return { ...decodeProtectedHeader(token) };
  } catch {
    return undefined;
  }
}

/** What is wrong with the token; undefined: the issuer, not the token, is to blame. */
function faultOfToken(error: unknown): string | undefined {
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWTClaimValidationFailed) return `claim ${error.claim}`;
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature';
  if (error instanceof errors.JWKSNoMatchingKey) return 'unknown key';
  if (error instanceof errors.JWKSMultipleMatchingKeys) return 'several keys';
  if (error instanceof errors.JOSEAlgNotAllowed) return 'algorithm';
  const isMalformed = [errors.JWSInvalid, errors.JWTInvalid, errors.JOSENotSupported].some(
    (kind) => error instanceof kind,
  );
  return isMalformed ? 'malformed' : undefined;
}
