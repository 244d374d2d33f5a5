/** Deliveries as their sender sees them: what is due, and what became of it. */
import { timestamp } from '../model/common.js';
import { presentSubscription, type SubscriptionRecord } from '../model/subscription.js';
import type { DeliveryRecord, WebhookRecord } from '../model/webhook.js';
import { audited } from './audit.js';
import type { Caller } from './caller.js';
import type { DispatchData } from './dispatch.js';
import { type Document, remove, replace, type Store } from './store/port.js';
import { retrying, unlessRaced } from './store/retry.js';
import { subscriptions } from './subscription.js';
import { deliveries, webhooks } from './webhook.js';

export type Due = Document<DeliveryRecord>;

/** How an attempt ended. */
export interface Outcome {
  succeeded: boolean;
  statusCode?: number | undefined;
  error?: string | undefined;
  /** Ms since 1970; undefined: it is not tried again. */
  retryAt?: number | undefined;
}

export class DeliveryData {
  readonly #store: Store;
  readonly #dispatch: DispatchData;

  constructor(store: Store, dispatch: DispatchData) {
    this.#store = store;
    this.#dispatch = dispatch;
  }

  webhook(id: string, signal: AbortSignal): Promise<Document<WebhookRecord> | undefined> {
    return this.#store.get(webhooks, id, signal);
  }

  /** Undefined if nothing may be sent for it: it is gone or disabled. */
  async active(id: string, signal: AbortSignal): Promise<SubscriptionRecord | undefined> {
    const found = await this.#store.get(subscriptions, id, signal);
    return found?.value.disabled === undefined ? found?.value : undefined;
  }

  /** The pending deliveries of the subscription, those that are due first. */
  pending(subscriptionId: string, limit: number, signal: AbortSignal): Promise<Due[]> {
    const filter = { subscription_id: subscriptionId, status: 'pending' };
    return this.#store.page(deliveries, { order: 'due', filter, limit }, signal);
  }

  /** Removes a delivery that its receiver may no longer see; true if it was one. */
  async withdrawn(subscription: SubscriptionRecord, delivery: Due): Promise<boolean> {
    const { projectId, type } = delivery.value;
    if (type === 'webhook.ping' || (await this.#dispatch.sees(subscription, projectId))) return false;
    await unlessRaced(this.#store.write([remove(deliveries, delivery)]));
    return true;
  }

  /** Records an attempt. A replay in the meantime stays due. */
  async attempted({ id, value: sent }: Due, outcome: Outcome): Promise<void> {
    await retrying(async () => {
      const found = await this.#store.get(deliveries, id);
      if (found === undefined) return;
      const { lastError: _error, lastStatusCode: _code, ...rest } = found.value;
      const { succeeded, statusCode, error, retryAt } = outcome;
      const replayed = found.value.attemptBase !== sent.attemptBase;
      const next: DeliveryRecord = {
        ...rest,
        attempts: rest.attempts + 1,
        lastAttemptTime: timestamp(),
        ...(statusCode === undefined ? {} : { lastStatusCode: statusCode }),
        ...(error === undefined ? {} : { lastError: error }),
        status: replayed || retryAt !== undefined ? 'pending' : succeeded ? 'succeeded' : 'failed',
        due: replayed ? rest.due : (retryAt ?? 0),
      };
      await this.#store.write([replace(deliveries, found, next)]);
    });
  }

  /** Disables the subscription, until its owner enables it again. */
  async disable(actor: Caller, id: string, reason: string): Promise<void> {
    await retrying(async () => {
      const found = await this.#store.get(subscriptions, id);
      if (found === undefined || found.value.disabled !== undefined) return;
      const next = { ...found.value, disabled: { reason, since: timestamp() } };
      const before = presentSubscription(id, found.value);
      const after = presentSubscription(id, next);
      const resource = { type: 'subscription', id };
      await this.#store.write([
        replace(subscriptions, found, next),
        ...(await audited(this.#store, actor, 'subscription.disable', resource, before, after)),
      ]);
    });
  }
}
