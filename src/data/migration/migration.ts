/** What a migration is, and what it works with. */
import type { CollectionSpec } from '../store/port.js';

/** A numbered change of what is stored. It runs once, and from its beginning or where it was interrupted. */
export interface Migration {
  /** The schema that it leads to; one more than that before it. */
  readonly version: number;
  readonly name: string;
  run(work: MigrationWork): Promise<void>;
}

export interface MigrationWork {
  /**
   * Writes every document of a collection anew, page by page: columns, sets and public texts follow from the collection
   * as it is declared now. What `change` gives is the new value; a value that stays keeps its revision, and so its ETag.
   * An interrupted migration goes on behind the last page, so that `change` sees each document once.
   */
  rewrite<T>(collection: CollectionSpec<T>, change?: (value: T) => T): Promise<void>;
}
