/** The document that records the schema of the store, and which process is migrating it. */
import type { CollectionSpec } from '../store/port.js';

export interface SchemaRecord {
  version: number;
  /**
   * The process that migrates, and its progress. `until` (ms since 1970) is for older versions, which compare clocks.
   */
  lease?: { owner: string; until: number };
  progress?: Progress;
  /** Names the store that this one is an unfinished copy of. */
  copyOf?: string;
}

/**
 * Progress of the migration to the next version: the number of finished rewrites, and the last id of the current one.
 */
export interface Progress {
  done: number;
  after?: string;
}

export const schema: CollectionSpec<SchemaRecord> = {
  name: 'schema',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

/** The id of the document. */
export const schemaId = 'schema';
