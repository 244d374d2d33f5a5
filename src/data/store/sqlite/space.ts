/** Releases empty pages to the file system, in steps that delay nothing. */
import type { Database } from 'better-sqlite3';

/** Pages moved per step: a few milliseconds of work. */
const step = 500;
/** Empty pages that are retained for new data. */
const reserve = 1000;

export class Space {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  #count(pragma: string): number {
    return this.#db.pragma(pragma, { simple: true }) as number;
  }

  /**
   * One step. Only worthwhile if a tenth of the file is empty: otherwise a growing file would have to be extended
   * again.
   */
  tidy(): void {
    const empty = this.#count('freelist_count');
    if (empty > Math.max(reserve, this.#count('page_count') / 10)) this.release(step);
    this.#db.pragma('wal_checkpoint(PASSIVE)');
  }

  /** Number of empty pages, if they can be released in steps. A file from before schema 2 needs a rewrite for that. */
  get empty(): number {
    const incremental = 2;
    return this.#count('auto_vacuum') === incremental ? this.#count('freelist_count') : 0;
  }

  release(pages: number): void {
    this.#db.pragma(`incremental_vacuum(${pages})`);
  }
}
