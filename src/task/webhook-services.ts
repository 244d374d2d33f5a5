import type { DeliveryData } from '../data/delivery.js';
import type { PublicClient } from '../platform/public-client.js';

/** What tasks of this type work with. */
export interface WebhookServices {
  data: DeliveryData;
  /** A client for the requests of one task. */
  client: () => PublicClient;
  /** Ms from each attempt to the next one. */
  retries: readonly number[];
}
