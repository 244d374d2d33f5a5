/**
 * What a failed read means. That a file cannot be read now says nothing about what is in it: only a file that was read
 * can be damaged, and only the system's "there is none" means that there is none.
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

/** The system's reason in words; undefined when the error is not one of the system's. */
export function reasonOf(error: unknown): string | undefined {
  const code = errorCode(error);
  if (code === undefined) return undefined;
  const errno = error instanceof Error && 'errno' in error ? error.errno : undefined;
  const words = typeof errno === 'number' ? getSystemErrorMap().get(errno)?.[1] : undefined;
  return reasons[code] ?? words ?? (/^E[A-Z0-9]+$/.test(code) ? code : undefined);
}

/** `what`: as a user may read it, without a path. Passing, because it is read again. */
export function unreadable(what: string, cause: unknown): RegionError {
  const reason = reasonOf(cause) ?? 'the host gives no reason';
  return new RegionError('transient', `${what} cannot be read: ${reason}.`, { cause });
}

/** What the read rejects with, as an error for users. */
export async function readable<R>(what: string, read: Promise<R>): Promise<R> {
  try {
    return await read;
  } catch (error) {
    throw error instanceof RegionError ? error : unreadable(what, error);
  }
}
