import { Type } from 'typebox';
import { ExpirationExtension, Instance } from '../model/instance.js';
import { changed } from './answer.js';
import { callerOf } from './caller.js';
import { instanceParams } from './instance-access.js';
import { orPlan, planAnswer, planningOf, planQuery } from './plan.js';
import { defineHandler } from './route.js';

/** POST /api/v2/instances/{instanceID}/extend_expiration. Model: Evergreen's hosts. */
export const extendExpiration = defineHandler(
  {
    operationId: 'extendInstanceExpiration',
    summary: 'Extend the lifetime of an instance',
    description:
      'By hours, counted from the current expiry, or up to a time. The new expiry must be later than the current one, and within the limit of the site. PUT can change it in both directions.',
    tags: ['instances'],
    params: instanceParams,
    body: ExpirationExtension,
    example: { hours: 24 },
    query: Type.Object(planQuery, { additionalProperties: false }),
    plans: true,
    responses: orPlan({ 200: { description: 'The instance.', schema: Instance, headers: ['ETag'] } }),
    errors: ['unprocessable', 'being_deleted', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, query, body, context }) => ({
      caller: callerOf(context, changed, planningOf(query)),
      id: params.instanceID,
      body,
    }),
    execute: async (connector, { caller, id, body }) => {
      const accepted = await connector.expiry.extend(caller, id, body);
      return caller.planning?.dryRun === true ? planAnswer(accepted) : changed(accepted);
    },
  },
);
