/**
 * What a failed read means. An unreadable file says nothing about its content: only a file that was read can be
 * damaged, and only the system's "no such file" means that there is none.
 */
import { getSystemErrorMap } from 'node:util';
import { RegionError } from '../provider.js';
import { errorCode } from './files.js';

const reasons: Record<string, string> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EIO: 'input/output error',
  EISDIR: 'it is a folder',
  ENOTDIR: 'its folder is a file',
  ELOOP: 'its symbolic links form a loop',
};

/** The system's reason as text; undefined if it is not a system error. */
export function reasonOf(error: unknown): string | undefined {
  const code = errorCode(error);
  if (code === undefined) return undefined;
  const errno = error instanceof Error && 'errno' in error ? error.errno : undefined;
  const words = typeof errno === 'number' ? getSystemErrorMap().get(errno)?.[1] : undefined;
  return reasons[code] ?? words ?? (/^E[A-Z0-9]+$/.test(code) ? code : undefined);
}

/** `what`: as shown to users, without a path. Transient, because it will be read again. */
export function unreadable(what: string, cause: unknown): RegionError {
  const reason = reasonOf(cause) ?? 'the host gives no reason';
  return new RegionError('transient', `${what} cannot be read: ${reason}.`, { cause });
}

/** Converts the error of a read into an error for users. */
export async function readable<R>(what: string, read: Promise<R>): Promise<R> {
  try {
    return await read;
  } catch (error) {
    throw error instanceof RegionError ? error : unreadable(what, error);
  }
}
