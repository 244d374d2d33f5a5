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
    summary: 'Number of recently created tasks, by status',
    description: 'Counts the tasks of the caller’s projects; for superusers, of all projects.',
    tags: ['status'],
    query: Type.Object(
      {
        minutes: Type.Optional(
          Type.Integer({ minimum: 1, maximum: 1440, default: 30, description: 'Length of the window.' }),
        ),
        projectID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
        verbose: Type.Optional(
          Type.Boolean({ default: false, description: 'Also list the newest tasks of the window.' }),
        ),
        status: Type.Optional(
          Type.Array(TaskStatus, {
            maxItems: 10,
            description: 'Requires `verbose=true`: list only tasks with these statuses.',
          }),
        ),
        limit: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: 1000,
            description: 'Requires `verbose=true`: maximum number of tasks to list; 100 by default.',
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
        const message = 'Requires verbose=true.';
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
      'For superusers only, because it covers the work of all projects. Members list their own tasks with `GET /api/v2/tasks`.',
    tags: ['status'],
    responses: { 200: { description: 'The current state of the queue.', schema: QueueStatus } },
  },
  {
    parse: ({ context }) => ({ caller: callerOf(context) }),
    execute: async (connector, { caller }) => ({
      result: await connector.status.queue(caller),
      metadata: { cacheControl: 'no-store' },
    }),
  },
);
