import type { Config } from '../config.js';
import { DeliveryData } from '../data/delivery.js';
import type { DispatchData } from '../data/dispatch.js';
import type { Store } from '../data/store/port.js';
import { isAllowedAddress } from '../model/public-address.js';
import { PublicClient } from '../platform/public-client.js';
import type { WebhookServices } from '../task/webhook-services.js';

/** What the tasks that send webhooks work with. */
export function webhookServices(config: Config, store: Store, dispatch: DispatchData): WebhookServices {
  const { allowAddresses, timeout, retries } = config.webhooks;
  const isAllowed = (address: string) => isAllowedAddress(address, allowAddresses);
  return {
    data: new DeliveryData(store, dispatch),
    client: () => new PublicClient({ isAllowed, timeout: timeout * 1000 }),
    retries: retries.map((pause) => pause * 1000),
  };
}
