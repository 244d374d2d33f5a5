/**
 * Where the ids of events begin: they are positions of the change log, counted on from this number. A copy of a store has a
 * log of its own, and a restored one goes on from an earlier position; without the base, ids that were given out before
 * would then come to mean other events.
 */
import type { CollectionSpec } from './port.js';

export interface EventBase {
  base: number;
}

/** Beside the schema document, and so neither copied nor changed by migrations. */
export const eventBases: CollectionSpec<EventBase> = {
  name: 'schema',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

export const eventBaseId = 'events';
