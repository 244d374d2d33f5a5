import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import {
  OwnerType,
  presentSubscription,
  Subscription,
  SubscriptionWrite,
  WrittenSubscription,
} from '../model/subscription.js';
import { Delivery, DeliveryStatus, DeliveryWithPayload } from '../model/webhook.js';
import { callerOf } from './caller.js';
import { exampleIds } from './example.js';
import { listHandler } from './list-handler.js';
import { defineHandler } from './route.js';

const subscriptionParams = Type.Object({ subscriptionID: Uuid }, { additionalProperties: false });
const deliveryParams = Type.Object(
  { subscriptionID: Uuid, deliveryID: Uuid },
  { additionalProperties: false },
);

/** GET /api/v2/subscriptions */
export const listSubscriptions = listHandler(
  {
    operationId: 'listSubscriptions',
    summary: 'The subscriptions of a user or project, oldest first',
    description: 'Default: those of the caller. Those of a project are for its admins.',
    tags: ['subscriptions'],
    query: Type.Object(
      {
        ownerType: Type.Optional({ ...OwnerType, examples: ['project'] }),
        owner: Type.Optional({
          ...Uuid,
          description: 'Id of the user or project.',
          examples: [exampleIds.projectID],
        }),
      },
      { additionalProperties: false },
    ),
    responses: {
      200: { description: 'A page of subscriptions.', schema: Type.Array(Subscription), headers: ['Link'] },
    },
    errors: ['not_found', 'forbidden', 'unprocessable'],
  },
  {
    args: ({ query, context }) => ({ caller: callerOf(context), ...query }),
    list: (connector, { caller, ...owner }, page) => connector.subscriptions.list(caller, owner, page),
  },
);

/** POST /api/v2/subscriptions. Model: Evergreen's, where a second POST with the same id updates. */
export const putSubscription = defineHandler(
  {
    operationId: 'putSubscription',
    summary: 'Create a subscription, or update the one of the given id',
    description:
      'Members that an update omits stay as they are; a disabled subscription becomes active again. A secret is shown only in the response that made it, and stored nowhere else, so an Idempotency-Key is ignored: choose the `id` to make a repeat safe.',
    tags: ['subscriptions'],
    body: SubscriptionWrite,
    example: {
      selectors: [{ type: 'resource', data: 'instance' }],
      subscriber: { type: 'webhook', url: 'https://example.com/hooks' },
    },
    secret: true,
    responses: {
      200: { description: 'The updated subscription.', schema: WrittenSubscription, headers: ['ETag'] },
      201: {
        description: 'The new subscription.',
        schema: WrittenSubscription,
        headers: ['Location', 'ETag'],
      },
    },
    errors: ['not_found', 'forbidden', 'unprocessable', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context), body }),
    execute: async (connector, { caller, body }) => {
      const written = await connector.subscriptions.put(caller, body);
      const { subscription, created, revision, secret } = written;
      const subscriber = { ...subscription.subscriber, ...(secret === undefined ? {} : { secret }) };
      const location = `/api/v2/subscriptions/${subscription.id}`;
      return {
        result: { ...subscription, subscriber },
        metadata: {
          ...(created ? { status: 201, location } : { status: 200 }),
          revision,
          cacheControl: 'no-store',
        },
      };
    },
  },
);

/** DELETE /api/v2/subscriptions?id=…, the model's form. */
export const deleteSubscriptionByQuery = defineHandler(
  {
    operationId: 'deleteSubscriptionByQuery',
    summary: 'Delete the subscription of the given id',
    tags: ['subscriptions'],
    query: Type.Object(
      { id: { ...Uuid, examples: [exampleIds.subscriptionID] } },
      { additionalProperties: false },
    ),
    responses: { 204: { description: 'The subscription is gone, and its deliveries with it.' } },
    errors: ['not_found', 'forbidden', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ query, context }) => ({ caller: callerOf(context), id: query.id }),
    execute: async (connector, { caller, id }) => {
      await connector.subscriptions.delete(caller, id);
      return {};
    },
  },
);

/** GET /api/v2/subscriptions/{subscriptionID} */
export const getSubscription = defineHandler(
  {
    operationId: 'getSubscription',
    summary: 'One subscription',
    tags: ['subscriptions'],
    params: subscriptionParams,
    responses: { 200: { description: 'The subscription.', schema: Subscription, headers: ['ETag'] } },
    errors: ['forbidden'],
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.subscriptionID }),
    execute: async (connector, { caller, id }) => {
      const { value, revision } = await connector.subscriptions.get(caller, id);
      return { result: presentSubscription(id, value), metadata: { revision } };
    },
  },
);

/** DELETE /api/v2/subscriptions/{subscriptionID} */
export const deleteSubscription = defineHandler(
  {
    operationId: 'deleteSubscription',
    summary: 'Delete a subscription',
    tags: ['subscriptions'],
    params: subscriptionParams,
    responses: { 204: { description: 'The subscription is gone, and its deliveries with it.' } },
    errors: ['forbidden', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.subscriptionID }),
    execute: async (connector, { caller, id }) => {
      await connector.subscriptions.delete(caller, id);
      return {};
    },
  },
);

/** POST /api/v2/subscriptions/{subscriptionID}/ping */
export const pingSubscription = defineHandler(
  {
    operationId: 'pingSubscription',
    summary: 'Send a test event to the receiver',
    tags: ['subscriptions'],
    params: subscriptionParams,
    responses: {
      202: { description: 'The delivery of the test event.', schema: Delivery, headers: ['Location'] },
    },
    errors: ['forbidden', 'conflict'],
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.subscriptionID }),
    execute: async (connector, { caller, id }) => accepted(await connector.subscriptions.ping(caller, id)),
  },
);

/** GET /api/v2/subscriptions/{subscriptionID}/deliveries */
export const listDeliveries = listHandler(
  {
    operationId: 'listDeliveries',
    summary: 'The deliveries of a subscription, oldest first',
    description: '`descending=true` starts with the latest one.',
    tags: ['subscriptions'],
    params: subscriptionParams,
    query: Type.Object(
      { status: Type.Optional(Type.Array(DeliveryStatus, { maxItems: 3 })) },
      { additionalProperties: false },
    ),
    responses: {
      200: { description: 'A page of deliveries.', schema: Type.Array(Delivery), headers: ['Link'] },
    },
    errors: ['forbidden'],
  },
  {
    args: ({ params, query, context }) => ({
      caller: callerOf(context),
      id: params.subscriptionID,
      statuses: query.status,
    }),
    list: (connector, { caller, id, statuses }, page) =>
      connector.subscriptions.deliveries(caller, id, statuses, page),
  },
);

/** GET /api/v2/subscriptions/{subscriptionID}/deliveries/{deliveryID} */
export const getDelivery = defineHandler(
  {
    operationId: 'getDelivery',
    summary: 'One delivery, with the body that is sent',
    tags: ['subscriptions'],
    params: deliveryParams,
    responses: { 200: { description: 'The delivery.', schema: DeliveryWithPayload } },
    errors: ['forbidden'],
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), ...params }),
    execute: async (connector, { caller, subscriptionID, deliveryID }) => ({
      result: await connector.subscriptions.delivery(caller, subscriptionID, deliveryID),
    }),
  },
);

/** POST /api/v2/subscriptions/{subscriptionID}/deliveries/{deliveryID}/replay */
export const replayDelivery = defineHandler(
  {
    operationId: 'replayDelivery',
    summary: 'Send a delivery once more, under the same id',
    tags: ['subscriptions'],
    params: deliveryParams,
    responses: {
      202: { description: 'The delivery, which is pending again.', schema: Delivery, headers: ['Location'] },
    },
    errors: ['forbidden', 'conflict'],
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), ...params }),
    execute: async (connector, { caller, subscriptionID, deliveryID }) =>
      accepted(await connector.subscriptions.replay(caller, subscriptionID, deliveryID)),
  },
);

function accepted(delivery: Delivery) {
  const location = `/api/v2/subscriptions/${delivery.subscriptionId}/deliveries/${delivery.id}`;
  return { result: delivery, metadata: { status: 202, location } };
}
