/** Faults of the real file system: operations of node:fs/promises on files of a folder, and on open files. */
import files, { type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { type FaultCode, Faults } from './faults.js';

type Call = (...parameters: unknown[]) => Promise<unknown>;

const calls = [
  ...['open', 'rename', 'rm', 'mkdir', 'link', 'copyFile', 'chmod', 'writeFile', 'truncate'],
  ...['readFile', 'readdir', 'stat', 'lstat', 'access', 'realpath'],
];
const handleCalls = ['write', 'writeFile', 'sync', 'read', 'stat', 'close'];

function failure(call: string, code: FaultCode): Error {
  return Object.assign(new Error(`${code}: ${call}`), { code, errno: -constants.errno[code], syscall: call });
}

export class FileFaults extends Faults {
  readonly #originals = new Map<string, Call>();
  readonly #folder: string;

  /** Of files in and below the folder. */
  constructor(folder: string) {
    super();
    this.#folder = folder;
  }

  install(): void {
    for (const name of calls) {
      const original = Reflect.get(files, name) as Call;
      this.#originals.set(name, original);
      const replaced: Call = async (...parameters) => {
        const path = String(parameters[0]);
        if (!path.startsWith(this.#folder)) return original(...parameters);
        const what = nameOf(path);
        const code = this.meet(`${name} ${what}`);
        if (code !== undefined) throw failure(name, code);
        const result = await original(...parameters);
        if (name === 'open') this.#watch(result as FileHandle, what);
        return result;
      };
      Reflect.set(files, name, replaced);
    }
    syncBuiltinESMExports();
  }

  restore(): void {
    for (const [name, original] of this.#originals) Reflect.set(files, name, original);
    syncBuiltinESMExports();
  }

  #watch(handle: FileHandle, what: string): void {
    for (const name of handleCalls) {
      const original = (Reflect.get(handle, name) as Call).bind(handle);
      const replaced: Call = async (...parameters) => {
        const code = this.meet(`${name} in ${what}`);
        // A failed close has still closed the file.
        if (code !== undefined && name === 'close') await original(...parameters);
        if (code !== undefined) throw failure(name, code);
        return original(...parameters);
      };
      Reflect.set(handle, name, replaced);
    }
  }
}

/** Ids and random parts differ from run to run. */
function nameOf(path: string): string {
  return basename(path).replace(/[0-9a-f]{8}-[0-9a-f-]{27}(-[0-9a-f]{8})?/, 'ID');
}
