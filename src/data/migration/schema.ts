/** The one document that tells which schema the store has, and who is changing it. */
import type { CollectionSpec } from '../store/port.js';

export interface SchemaRecord {
  version: number;
  /** The process that migrates, and how far it has come. `until` (ms since 1970) is for older programs, which compare clocks. */
  lease?: { owner: string; until: number };
  progress?: Progress;
  /** Names the store that this one is an unfinished copy of. */
  copyOf?: string;
}

/** Of the migration to the next version: how many of its rewrites are done, and the last id of the one under way. */
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
