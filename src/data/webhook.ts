/** Deliveries, and the state of sending of each subscription. What sends them: task/webhook-deliver.ts. */
import { type DeliveryRecord, presentDelivery, type WebhookRecord } from '../model/webhook.js';
import { siteId } from '../model/task.js';
import type { Caller } from './caller.js';
import {
  type CollectionSpec,
  type Document,
  insert,
  remove,
  replace,
  type Store,
  type Write,
} from './store/port.js';
import { unlessRaced } from './store/retry.js';
import { openTask } from './task.js';

/** In place of the id of a project: what its owner may always see, which is a ping. */
export const ofNoProject = '';

/** The project of what is told; of the audit trail the site. */
export function projectColumn({ projectId, type }: DeliveryRecord): string {
  return projectId ?? (type === 'webhook.ping' ? ofNoProject : siteId);
}

export const deliveries: CollectionSpec<DeliveryRecord> = {
  name: 'deliveries',
  columns: { subscription_id: 'text', status: 'text', due: 'integer', project_id: 'text' },
  columnsOf: (_id, delivery) => {
    const { subscriptionId, status, due } = delivery;
    return {
      subscription_id: subscriptionId,
      status,
      due: status === 'pending' ? due : 0,
      project_id: projectColumn(delivery),
    };
  },
  present: presentDelivery,
  orders: { id: [], due: ['due'] },
  filteredOrders: ['due'],
  indexes: [['subscription_id'], ['subscription_id', 'status', 'due']],
};

/** Their subjects: `src/data/subject.ts`. */
export const webhooks: CollectionSpec<WebhookRecord> = {
  name: 'webhooks',
  columns: { due: 'integer' },
  columnsOf: (_id, { due }) => ({ due }),
  orders: { id: [], due: ['due'] },
};

/** Deliveries of one subscription that may wait; further events are counted, not kept. */
export const backlogLimit = 10_000;

/**
 * The write that makes deliveries of a subscription due, with the task that sends them if none is open: for the same
 * batch as the deliveries, within `retrying`.
 */
export async function wakingWrites(
  store: Store,
  subscriptionId: string,
  host: string,
  actor: Caller,
  change: (webhook: WebhookRecord) => WebhookRecord = (webhook) => webhook,
): Promise<Write[]> {
  const found = await store.get(webhooks, subscriptionId);
  const before = found?.value ?? newWebhook(host);
  const next = { ...change(before), sequence: before.sequence + 1 };
  const isOpen = before.openTasks.length > 0;
  const from = Math.max(Date.now(), next.pausedUntil ?? 0);
  const document = found ?? { id: subscriptionId, revision: 0, value: before };
  const task =
    isOpen || from > Date.now() ? undefined : openTask('webhook', document, 'webhook.deliver', {}, actor);
  const stored: WebhookRecord =
    task === undefined ? { ...next, due: from } : { ...next, due: 0, openTasks: task.openTasks };
  const write =
    found === undefined ? insert(webhooks, subscriptionId, stored) : replace(webhooks, found, stored);
  return task === undefined ? [write] : [write, task.write];
}

function newWebhook(host: string): WebhookRecord {
  const place = { organizationId: siteId, projectId: siteId, regionId: siteId };
  return { ...place, name: host, openTasks: [], due: 0, sequence: 0, failures: 0 };
}

/** Opens the tasks of subscriptions whose next attempt is due; returns when the next one is (ms since 1970). */
export async function openDue(store: Store, actor: Caller): Promise<number | undefined> {
  let after: [number, string] | undefined;
  for (;;) {
    const now = Date.now();
    const found: Document<WebhookRecord>[] = await store.page(webhooks, {
      order: 'due',
      span: { column: 'due', from: 1 },
      limit: 100,
      ...(after === undefined ? {} : { after }),
    });
    for (const webhook of found) {
      const { due, openTasks } = webhook.value;
      if (due > now) return due;
      // The open task may have missed what became due; its end shows that, and then this finds it again.
      if (openTasks.length > 0) continue;
      const task = openTask('webhook', webhook, 'webhook.deliver', {}, actor);
      const next = { ...webhook.value, due: 0, openTasks: task.openTasks };
      await unlessRaced(store.write([replace(webhooks, webhook, next), task.write]));
    }
    const last = found.at(-1);
    if (last === undefined || found.length < 100) return undefined;
    after = [last.value.due, last.id];
  }
}

/** Removes deliveries made before a time (ms since 1970), page by page; returns how many. */
export async function purgeDeliveries(store: Store, before: string, signal: AbortSignal): Promise<number> {
  let removed = 0;
  for (;;) {
    const span = { column: 'id', before };
    const old = await store.page(deliveries, { order: 'id', span, limit: 100 }, signal);
    let gone = 0;
    for (const delivery of old) {
      signal.throwIfAborted();
      if (await unlessRaced(store.write([remove(deliveries, delivery)]))) gone += 1;
    }
    removed += gone;
    if (old.length < 100 || gone === 0) return removed;
  }
}
