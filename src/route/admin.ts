import { Type } from 'typebox';
import { QueueCleared, RestartResult, RestartWindow } from '../model/admin.js';
import { Uuid } from '../model/common.js';
import { TaskType } from '../model/task.js';
import { callerOf } from './caller.js';
import { defineHandler } from './route.js';

/** DELETE /api/v2/admin/task_queue */
export const clearTaskQueue = defineHandler(
  {
    operationId: 'clearTaskQueue',
    summary: 'Cancel all waiting tasks',
    description:
      'Running tasks continue. Each filter narrows the selection; without any, all waiting tasks of the site are cancelled, including deletions. A region or project that does not exist is refused. One call ends at most 20000 tasks and works for at most 10 seconds; `more` means that another call is needed.',
    tags: ['admin'],
    query: Type.Object(
      {
        projectID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
        regionID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
        type: Type.Optional(Type.Array(TaskType, { maxItems: 20 })),
      },
      { additionalProperties: false },
    ),
    responses: { 200: { description: 'The number of tasks.', schema: QueueCleared } },
    errors: ['invalid_reference'],
  },
  {
    parse: ({ query, context }) => ({
      caller: callerOf(context),
      filter: { projectIds: query.projectID, regionIds: query.regionID, types: query.type },
    }),
    execute: async (connector, { caller, filter }) => ({
      result: await connector.admin.clearQueue(caller, filter),
    }),
  },
);

/** POST /api/v2/admin/restart */
export const restartFailedTasks = defineHandler(
  {
    operationId: 'restartFailedTasks',
    summary: 'Restart the tasks that failed in a time window',
    description:
      'Oldest failure first, at most 1000 per call. Tasks that cannot be restarted are listed with the reason and do not affect the others.',
    tags: ['admin'],
    body: RestartWindow,
    example: { start: '2026-01-01T00:00:00Z', end: '2026-01-02T00:00:00Z', dryRun: true },
    responses: { 200: { description: 'One result per task.', schema: RestartResult } },
    errors: ['invalid_reference'],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context), body }),
    execute: async (connector, { caller, body }) => ({
      result: await connector.admin.restartFailed(caller, body),
      metadata: { cacheControl: 'no-store' },
    }),
  },
);
