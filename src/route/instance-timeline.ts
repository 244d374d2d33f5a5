import { Type } from 'typebox';
import { TimelineEntry } from '../model/timeline.js';
import { callerOf } from './caller.js';
import { instanceParams } from './instance-access.js';
import { listHandler } from './list-handler.js';

/** GET /api/v2/instances/{instanceID}/timeline */
export const getTimeline = listHandler(
  {
    operationId: 'getTimeline',
    summary: 'What happened to the instance, oldest first',
    description:
      'Requests, tasks and their steps, changes of state, and boots, in the order of time. It goes back over the last 200 tasks, 200 audit records and 60 changes of the instance, as far as they are stored.',
    tags: ['instances'],
    params: instanceParams,
    responses: {
      200: { description: 'A page of entries.', schema: Type.Array(TimelineEntry), headers: ['Link'] },
    },
  },
  {
    orders: ['time'],
    args: ({ params, context }) => ({ caller: callerOf(context), id: params.instanceID }),
    list: (connector, { caller, id }, page) => connector.timelines.list(caller, id, page),
  },
);
