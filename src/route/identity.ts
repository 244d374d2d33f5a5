/**
 * Identifies the caller: `Authorization: Bearer <API key>` (RFC 6750), or `Api-User` with `Api-Key` as Evergreen has
 * it.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { UserData } from '../data/user.js';
import { ApiError } from '../model/error.js';
import type { Interruption } from '../model/interruption.js';
import type { User } from './pipeline/context.js';
import { unauthorized } from './pipeline/authenticator.js';

type Caller = User | undefined;

/**
 * The caller, or undefined without credentials. Throws 401 for wrong ones and 400 for two kinds at once. A promise only
 * if the store must be read.
 */
export function identify(
  users: UserData,
  headers: IncomingHttpHeaders,
  interruption: Interruption,
): Promise<Caller> | Caller {
  const { authorization } = headers;
  const key = single(headers['api-key']);
  if (authorization !== undefined && key !== undefined) {
    throw new ApiError('invalid_parameter', 'Send either Authorization or Api-Key, not both.');
  }
  if (authorization !== undefined) {
    const token = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization)?.[1];
    return demand(users, token, undefined, interruption);
  }
  if (key === undefined) return undefined;
  const name = single(headers['api-user']);
  return demand(users, name === undefined ? undefined : key, name, interruption);
}

function demand(
  users: UserData,
  key: string | undefined,
  name: string | undefined,
  interruption: Interruption,
): Promise<User> | User {
  let reason = 'malformed';
  const known = (user: Caller): User => {
    if (user === undefined) throw unauthorized(true, reason);
    return user;
  };
  if (key === undefined) return known(undefined);
  const user = users.identify(key, name, interruption, (fault) => (reason = fault));
  return user instanceof Promise ? user.then(known) : known(user);
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
