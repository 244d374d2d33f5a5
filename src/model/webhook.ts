/** What is sent for a subscription: the deliveries, and the state of sending. Format: Standard Webhooks. */
import { Type, type Static } from 'typebox';
import { defined, Timestamp, Uuid } from './common.js';

const closed = { additionalProperties: false };

export const DeliveryStatus = Type.Union(
  [Type.Literal('pending'), Type.Literal('succeeded'), Type.Literal('failed')],
  { title: 'DeliveryStatus' },
);
export type DeliveryStatus = Static<typeof DeliveryStatus>;

const members = {
  id: { ...Uuid, description: 'Sent as `webhook-id`, the same with every attempt and replay.' },
  subscriptionId: Uuid,
  type: Type.String({ description: 'Of the event, such as `instance.created`; `webhook.ping` for a test.' }),
  eventId: Type.Optional(
    Type.String({ description: 'Id of the event, as in `/events` or the audit trail.' }),
  ),
  resourceId: Type.Optional(Type.String()),
  status: DeliveryStatus,
  attempts: Type.Integer({ minimum: 0 }),
  lastAttemptTime: Type.Optional(Timestamp),
  lastStatusCode: Type.Optional(Type.Integer({ description: 'Of the last response, if there was one.' })),
  lastError: Type.Optional(Type.String({ description: 'Why the last attempt failed.' })),
  nextAttemptTime: Type.Optional(Timestamp),
  creationTime: Timestamp,
};

export const Delivery = Type.Object(members, { title: 'Delivery', ...closed });
export type Delivery = Static<typeof Delivery>;

export const DeliveryWithPayload = Type.Object(
  { ...members, payload: Type.String({ description: 'The body, as it is sent.' }) },
  { title: 'DeliveryWithPayload', ...closed },
);
export type DeliveryWithPayload = Static<typeof DeliveryWithPayload>;

export interface DeliveryRecord {
  subscriptionId: string;
  type: string;
  eventId?: string;
  resourceId?: string;
  /** Whoever no longer sees this project gets no event of it. */
  projectId?: string;
  payload: string;
  status: DeliveryStatus;
  attempts: number;
  /** Attempts before the last replay: only later ones count against the schedule. */
  attemptBase?: number;
  lastAttemptTime?: string;
  lastStatusCode?: number;
  lastError?: string;
  /** Of a pending one: ms since 1970. */
  due: number;
  creationTime: string;
}

export function presentDelivery(id: string, delivery: DeliveryRecord): Delivery {
  const { subscriptionId, type, eventId, resourceId, status, attempts, creationTime, due } = delivery;
  const { lastAttemptTime, lastStatusCode, lastError } = delivery;
  const nextAttemptTime = status === 'pending' ? new Date(due).toISOString() : undefined;
  return {
    ...defined({ id, subscriptionId, type, eventId, resourceId, status, attempts }),
    ...defined({ lastAttemptTime, lastStatusCode, lastError, nextAttemptTime, creationTime }),
  };
}

/** The state of sending for one subscription, under its id: the subject of its tasks (`Subject`). */
export interface WebhookRecord {
  organizationId: string;
  projectId: string;
  regionId: string;
  /** The host of its receiver. */
  name: string;
  openTasks: string[];
  /** Ms since 1970: when a task must be opened, if none is open; 0: never. */
  due: number;
  /** Counts what made deliveries due: a task that has seen less of it does not know all of them. */
  sequence: number;
  /** Failed attempts since the last success, of any delivery. */
  failures: number;
  /** Ms since 1970. */
  lastSuccess?: number;
  /** Ms since 1970: until then a receiver that fails again and again is left alone. */
  pausedUntil?: number;
}

/** What a task has found. */
export interface Sent {
  due: number;
  sequence: number;
  failures: number;
  lastSuccess?: number | undefined;
  pausedUntil?: number | undefined;
}

/** The state after a task. What became due in the meantime, it may have missed. */
export function afterSending(webhook: WebhookRecord, sent: Sent): WebhookRecord {
  const { pausedUntil: _former, ...rest } = webhook;
  const { sequence, failures, lastSuccess, pausedUntil } = sent;
  const due = rest.sequence === sequence ? sent.due : Math.max(Date.now(), pausedUntil ?? 0);
  return { ...rest, due, failures, ...defined({ lastSuccess, pausedUntil }) };
}

/** Bytes of a body; Standard Webhooks advises to stay below 20 kB. */
export const payloadLimit = 20_000;

/** The body of a delivery. A resource that is too large is left out: its id tells where to read it. */
export function payloadOf(type: string, time: string, data: Readonly<Record<string, unknown>>): string {
  const full = JSON.stringify({ type, timestamp: time, data });
  if (Buffer.byteLength(full) <= payloadLimit) return full;
  const { resource: _resource, record: _record, ...rest } = data;
  return JSON.stringify({ type, timestamp: time, data: { ...rest, truncated: true } });
}
