import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { ApiError } from '../model/error.js';
import { QueueStatus, RecentTasks } from '../model/status.js';
import { TaskStatus } from '../model/task.js';
import { callerOf } from './caller.js';
import { JsonText } from './pipeline/response.js';
import { defineHandler } from './route.js';

/** GET /api/v2/status/recent_tasks */
export const getRecentTasks = defineHandler(
  {
    operationId: 'getRecentTasks',
    summary: 'How many tasks were made lately, by their status',
    description: 'Counts the tasks of the caller’s projects; those of all for superusers.',
    tags: ['status'],
    query: Type.Object(
      {
        minutes: Type.Optional(
          Type.Integer({ minimum: 1, maximum: 1440, default: 30, description: 'Length of the window.' }),
        ),
        projectID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
        verbose: Type.Optional(
          Type.Boolean({ default: false, description: 'Lists the newest tasks of the window too.' }),
        ),
        status: Type.Optional(
          Type.Array(TaskStatus, { maxItems: 10, description: 'With `verbose=true`: lists these only.' }),
        ),
        limit: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: 1000,
            description: 'With `verbose=true`: lists so many; 100.',
          }),
        ),
      },
      { additionalProperties: false },
    ),
    responses: { 200: { description: 'The counts.', schema: RecentTasks } },
  },
  {
    parse: ({ query, context }) => {
      const { minutes = 30, projectID, verbose = false, status, limit } = query;
      const idle = status === undefined ? 'limit' : 'status';
      if (!verbose && (status !== undefined || limit !== undefined)) {
        const message = 'Only says something together with verbose=true.';
        const errors = [{ parameter: idle, message }];
        throw new ApiError('invalid_parameter', `${idle}: ${message}`, { errors });
      }
      const list = verbose ? { limit: limit ?? 100, statuses: status } : undefined;
      const recent = { minutes, projectIds: projectID, list };
      return { caller: callerOf(context), recent };
    },
    execute: async (connector, { caller, recent }) => ({
      result: new JsonText(await connector.status.recent(caller, recent)),
      metadata: { cacheControl: 'no-store' },
    }),
  },
);

/** GET /api/v2/status/queue */
export const getQueueStatus = defineHandler(
  {
    operationId: 'getQueueStatus',
    summary: 'Depth, age and speed of the task queue, by region and type',
    description:
      'For superusers: it tells of everybody’s work. Members list their own with `GET /api/v2/tasks`.',
    tags: ['status'],
    responses: { 200: { description: 'The queue now.', schema: QueueStatus } },
  },
  {
    parse: ({ context }) => ({ caller: callerOf(context) }),
    execute: async (connector, { caller }) => ({
      result: await connector.status.queue(caller),
      metadata: { cacheControl: 'no-store' },
    }),
  },
);
