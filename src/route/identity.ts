/** Who is calling: `Authorization: Bearer <API key>` (RFC 6750), or `Api-User` with `Api-Key` as Evergreen has it. */
import type { IncomingHttpHeaders } from 'node:http';
import type { UserData } from '../data/user.js';
import { ApiError } from '../model/error.js';
import type { User } from './pipeline/context.js';
import { unauthorized } from './pipeline/authenticator.js';

/** The caller, or undefined without credentials. Throws 401 for wrong ones and 400 for two kinds at once. */
export async function identify(users: UserData, headers: IncomingHttpHeaders): Promise<User | undefined> {
  const { authorization } = headers;
  const key = single(headers['api-key']);
  const name = single(headers['api-user']);
  if (authorization !== undefined && key !== undefined) {
    throw new ApiError('invalid_parameter', 'Send either Authorization or Api-Key, not both.');
  }
  if (authorization !== undefined) {
    const token = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization)?.[1];
    const user = token === undefined ? undefined : await users.identify(token);
    if (user === undefined) throw unauthorized(true);
    return user;
  }
  if (key === undefined) return undefined;
  const user = await users.identify(key, name);
  if (user === undefined || name === undefined) throw unauthorized(true);
  return user;
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
