/**
 * Identifies the caller: `Authorization: Bearer` (RFC 6750) with an API key or with a token of an OpenID Connect issuer,
 * `Api-User` with `Api-Key` as Evergreen has it, or the cookie of a session.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Connector } from '../data/connector.js';
import { ApiError } from '../model/error.js';
import type { Interruption } from '../model/interruption.js';
import type { Shown, User } from './pipeline/context.js';
import { unauthorized } from './pipeline/authenticator.js';
import { isFromSameOrigin, noSessionCookie, sessionSecrets } from './session-cookie.js';

type Caller = User | undefined;
type Found = Promise<Caller> | Caller;

/** The parts of the connector that know credentials. */
export type Identifiers = Pick<Connector, 'users' | 'tokens' | 'sessions'>;

/** Who a credential stands for; undefined for a wrong one, with the reason for the log. */
type Lookup = (refused: (reason: string) => void) => Found;

/**
 * The caller, or undefined without credentials. Throws 401 for wrong ones and 400 for two kinds at once. A promise only
 * if something must be read.
 */
export function identify(
  identifiers: Identifiers,
  shown: Shown,
  publicUrl: () => string,
  interruption: Interruption,
): Found {
  const { headers } = shown;
  const { authorization } = headers;
  const key = single(headers['api-key']);
  if (authorization !== undefined && key !== undefined) {
    throw new ApiError('invalid_parameter', 'Send either Authorization or Api-Key, not both.');
  }
  if (authorization !== undefined) {
    if (shown.signsIn) assertNotForeign(headers, publicUrl());
    return demand(
      shown.signsIn && /^basic /i.test(authorization)
        ? basic(identifiers, authorization, interruption)
        : bearer(identifiers, authorization, shown, interruption),
    );
  }
  if (key === undefined) {
    // A session cannot begin another one.
    const { cookie } = headers;
    return cookie === undefined || shown.signsIn
      ? undefined
      : session(identifiers, cookie, shown, publicUrl(), interruption);
  }
  const name = single(headers['api-user']);
  return demand(
    name === undefined
      ? undefined
      : (refused) => identifiers.users.identify(key, name, interruption, refused),
  );
}

function bearer(
  { users, tokens }: Identifiers,
  authorization: string,
  { requestId }: Shown,
  interruption: Interruption,
): Lookup | undefined {
  const token = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization)?.[1];
  if (token === undefined) return undefined;
  return tokens.recognizes(token)
    ? (refused) => tokens.identify(token, requestId, interruption, refused)
    : (refused) => users.identify(token, undefined, interruption, refused);
}

/** RFC 7617, with the API key as the password. */
function basic(
  { users }: Identifiers,
  authorization: string,
  interruption: Interruption,
): Lookup | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/]+=*) *$/i.exec(authorization)?.[1] ?? '';
  const [, name, key] = /^([^:]+):([\x21-\x7e]+)$/.exec(Buffer.from(encoded, 'base64').toString()) ?? [];
  return name === undefined || key === undefined
    ? undefined
    : (refused) => users.identify(key, name, interruption, refused);
}

const readingMethods = ['GET', 'HEAD'];

function session(
  { sessions }: Identifiers,
  cookie: string,
  { headers, method }: Shown,
  publicUrl: string,
  interruption: Interruption,
): Found {
  const secrets = sessionSecrets(cookie, publicUrl);
  const [secret] = secrets;
  if (secret === undefined) return undefined;
  // A browser sends the cookie whoever has made it send the request.
  if (!readingMethods.includes(method) && isFromSameOrigin(headers, publicUrl) !== true) throw foreign();
  return demand(
    secrets.length > 1 ? undefined : (refused) => sessions.identify(secret, interruption, refused),
    { 'Set-Cookie': noSessionCookie(publicUrl) },
  );
}

/** A page of another site must not make a browser begin a session that the attacker knows. */
function assertNotForeign(headers: IncomingHttpHeaders, publicUrl: string): void {
  if (isFromSameOrigin(headers, publicUrl) === false) throw foreign();
}

function foreign(): ApiError {
  const message =
    'A request of a session must come from a page of the same origin: Sec-Fetch-Site must be "same-origin", or Origin that of the public URL.';
  return new ApiError('forbidden', message, { reason: 'another origin' });
}

function demand(look: Lookup | undefined, forget: Record<string, string> = {}): Promise<User> | User {
  let reason = 'malformed';
  const known = (user: Caller): User => {
    if (user !== undefined) return user;
    const refusal = unauthorized(true, reason);
    Object.assign(refusal.headers, forget);
    throw refusal;
  };
  const user = look?.((fault) => (reason = fault));
  return user instanceof Promise ? user.then(known) : known(user);
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
