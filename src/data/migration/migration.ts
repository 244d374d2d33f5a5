/** The definition of a migration, and its tools. */
import type { CollectionSpec } from '../store/port.js';

/** A numbered change to stored data. It runs once, from its beginning or from where it was interrupted. */
export interface Migration {
  /** The resulting schema version; one more than the previous one. */
  readonly version: number;
  readonly name: string;
  run(work: MigrationWork): Promise<void>;
}

export interface MigrationWork {
  /**
   * Rewrites every document of a collection, page by page: columns, sets and public texts follow from the current
   * declaration. `change` returns the new value; an unchanged value keeps its revision, and so its ETag. An interrupted
   * migration continues after the last page, so `change` sees each document once.
   */
  rewrite<T>(collection: CollectionSpec<T>, change?: (value: T) => T): Promise<void>;
}
