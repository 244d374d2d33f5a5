/** Gives pages that hold nothing any more back to the file system, in steps that hold up nobody. */
import type { Database } from 'better-sqlite3';

/** Pages moved in one step: some milliseconds of work. */
const step = 500;
/** Empty pages that are kept for what comes next. */
const reserve = 1000;

export class Space {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  #count(pragma: string): number {
    return this.#db.pragma(pragma, { simple: true }) as number;
  }

  /** One step. Only a tenth of emptiness is worth it: a file that grows again would have to be extended anew. */
  tidy(): void {
    const empty = this.#count('freelist_count');
    if (empty > Math.max(reserve, this.#count('page_count') / 10)) this.release(step);
    this.#db.pragma('wal_checkpoint(PASSIVE)');
  }

  /** Pages that are empty, if they can be given back in steps. A file from before schema 2 needs a rewrite for that. */
  get empty(): number {
    const incremental = 2;
    return this.#count('auto_vacuum') === incremental ? this.#count('freelist_count') : 0;
  }

  release(pages: number): void {
    this.#db.pragma(`incremental_vacuum(${pages})`);
  }
}
