/**
 * The offset of event ids, which are positions in the change log plus this number. A copy of a store has a log of its
 * own, and a restored one continues from an earlier position; without the offset, ids that were already issued would
 * then refer to other events.
 */
import type { CollectionSpec } from './port.js';

export interface EventBase {
  base: number;
}

/** Next to the schema document, and so neither copied nor changed by migrations. */
export const eventBases: CollectionSpec<EventBase> = {
  name: 'schema',
  columns: {},
  columnsOf: () => ({}),
  orders: { id: [] },
};

export const eventBaseId = 'events';
