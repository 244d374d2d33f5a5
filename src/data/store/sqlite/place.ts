/**
 * Whether the open file is still where it was opened. SQLite continues with a file that was moved or deleted: later
 * writes are lost with the process, although they were acknowledged.
 */
import { statSync } from 'node:fs';
import { unusable } from './failure.js';

export class Place {
  readonly #files: readonly { path: string; identity: string | null | undefined }[];

  /** To be created when the file and its log exist. */
  constructor(file: string) {
    this.#files = [file, `${file}-wal`].map((path) => ({ path, identity: identityOf(path) }));
  }

  /** Throws `store_unavailable`. A file that is moved back counts as the same again. */
  check(): void {
    for (const { path, identity } of this.#files) {
      const found = identity == null ? null : identityOf(path);
      if (found !== null && found !== identity)
        throw unusable(
          'its file was moved, deleted or replaced',
          new Error(`${path} is not the file that was opened`),
        );
    }
  }
}

/** Undefined: there is none. Null: unknown. */
function identityOf(path: string): string | null | undefined {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    return found === undefined ? undefined : `${found.dev} ${found.ino}`;
  } catch {
    return null;
  }
}
