/** Makes reads of chosen files fail as the system would, below all of Copse's code. */
import fs from 'node:fs';
import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';

export type SystemCode = keyof typeof constants.errno;

type Call = (...parameters: unknown[]) => unknown;

const awaited = ['readFile', 'open', 'readdir', 'lstat', 'stat', 'access'] as const;
const immediate = ['readFileSync', 'openSync', 'readdirSync', 'statSync', 'readlinkSync'] as const;

function failure(call: string, path: string, code: SystemCode): Error {
  const errno = -constants.errno[code];
  return Object.assign(new Error(`${code}: ${call} '${path}'`), { code, errno, syscall: call, path });
}

/**
 * While `work` runs, reads of a path that `concerns` selects fail with the code; it gets the number of failures so far.
 * Rejects if nothing failed: then the fault was not where the test expects it.
 */
export async function whileUnreadable<R>(
  concerns: (path: string) => boolean,
  code: SystemCode,
  work: (failures: () => number) => Promise<R>,
): Promise<R> {
  const originals = new Map<object, Map<string, Call>>();
  let hits = 0;
  const replace = (module: object, name: string, fail: (error: Error) => unknown): void => {
    const original = Reflect.get(module, name) as Call;
    const replaced: Call = (...parameters) => {
      const [path] = parameters;
      if (typeof path !== 'string' || !concerns(path)) return original(...parameters);
      hits += 1;
      return fail(failure(name, path, code));
    };
    const known = originals.get(module) ?? new Map<string, Call>();
    originals.set(module, known.set(name, original));
    Reflect.set(module, name, replaced);
  };
  for (const name of awaited) replace(files, name, (error) => Promise.reject(error));
  for (const name of immediate) {
    replace(fs, name, (error) => {
      throw error;
    });
  }
  syncBuiltinESMExports();
  try {
    const result = await work(() => hits);
    if (hits === 0) throw new Error('nothing has read it');
    return result;
  } finally {
    for (const [module, known] of originals)
      for (const [name, original] of known) Reflect.set(module, name, original);
    syncBuiltinESMExports();
  }
}
