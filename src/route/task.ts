import { Type } from 'typebox';
import { Timestamp, Uuid } from '../model/common.js';
import { Task, TaskPatch, TaskStatus, TaskType } from '../model/task.js';
import { callerOf } from './caller.js';
import { listHandler } from './list-handler.js';
import { JsonText } from './pipeline/response.js';
import { prefetchProjectContext } from './prefetch.js';
import { defineHandler } from './route.js';
import { taskAnswers, taskHandler } from './task-handler.js';
import { timeOf } from './time-window.js';

/** GET /api/v2/tasks */
export const listTasks = listHandler(
  {
    operationId: 'listTasks',
    summary: 'Background work, oldest first',
    description: 'Several values of one parameter are alternatives; all parameters must match.',
    tags: ['tasks'],
    query: Type.Object(
      {
        projectID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
        subjectID: Type.Optional(
          Type.Array(Uuid, {
            maxItems: 100,
            description: 'Ids of the subjects of the tasks, such as instances.',
          }),
        ),
        type: Type.Optional(Type.Array(TaskType, { maxItems: 10 })),
        status: Type.Optional(Type.Array(TaskStatus, { maxItems: 10 })),
        requester: Type.Optional(
          Type.Array(Type.String({ minLength: 1, maxLength: 63 }), {
            maxItems: 20,
            description: 'Names of users; `schedule` stands for the site itself.',
          }),
        ),
        createdAfter: Type.Optional({
          ...Timestamp,
          description: 'RFC 3339. Created at this time or later.',
        }),
        createdBefore: Type.Optional({ ...Timestamp, description: 'RFC 3339. Created before this time.' }),
      },
      { additionalProperties: false },
    ),
    responses: { 200: { description: 'A page of tasks.', schema: Type.Array(Task), headers: ['Link'] } },
  },
  {
    args: ({ query, context }) => ({
      caller: callerOf(context),
      filter: {
        projectIds: query.projectID,
        subjectIds: query.subjectID,
        types: query.type,
        statuses: query.status,
        requesters: query.requester,
        createdAfter: timeOf('createdAfter', query.createdAfter),
        createdBefore: timeOf('createdBefore', query.createdBefore),
      },
    }),
    list: (connector, { caller, filter }, page) => connector.tasks.list(caller, filter, page),
  },
);

const taskParams = Type.Object({ taskID: Uuid }, { additionalProperties: false });

export const projectOfTask = prefetchProjectContext(
  'taskID',
  (connector, id, interruption) => connector.tasks.readForAccess(id, interruption),
  (connector, _limits, { id }, user) => connector.tagScope.hasTask(user, id),
);

/** GET /api/v2/tasks/{taskID} */
export const getTask = defineHandler(
  {
    operationId: 'getTask',
    summary: 'One task: its state, attempts, steps and cause',
    tags: ['tasks'],
    params: taskParams,
    description: 'With `Prefer: wait=N` the response comes when the task has ended, or after N seconds.',
    waits: true,
    responses: { 200: { description: 'The task.', schema: Task, headers: ['ETag'] } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.taskID, wait: context.wait }),
    execute: async (connector, { caller, id, wait }) => {
      if (wait > 0) await connector.tasks.ended(caller, id, wait * 1000);
      const { text, revision } = await connector.tasks.text(caller, id);
      return { result: new JsonText(text), metadata: { revision } };
    },
  },
);

/** PATCH /api/v2/tasks/{taskID}. Name: Evergreen's TaskExecutionPatchHandler. */
export const taskExecutionPatchHandler = defineHandler(
  {
    operationId: 'patchTask',
    summary: 'Hold, release or prioritise a task',
    description:
      'Both fields are applied in one step, or neither is. Tasks of the same subject that run before this one are activated with it and get at least the same priority.',
    tags: ['tasks'],
    params: taskParams,
    body: TaskPatch,
    example: { activated: true, priority: 50 },
    responses: { 200: { description: 'The task.', schema: Task, headers: ['ETag'] } },
    errors: ['forbidden', 'task_state_conflict', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, body, context }) => ({ caller: callerOf(context), id: params.taskID, body }),
    execute: async (connector, { caller, id, body }) => {
      const { text, revision } = await connector.taskControl.patch(caller, id, body);
      return { result: new JsonText(text), metadata: { revision } };
    },
  },
);

const answers = taskAnswers('Accepted. Follow `Location`.');

/** POST /api/v2/tasks/{taskID}/abort */
export const abortTask = taskHandler(
  {
    operationId: 'abortTask',
    summary: 'Abort a task',
    description:
      'A task that has not started is cancelled at once, and its subject is as before. A task that has started is asked to stop: its step ends, and the subject reports what was left undone. A repeat changes nothing.',
    tags: ['tasks'],
    params: taskParams,
    errors: ['task_state_conflict', 'conflict', 'precondition_failed'],
  },
  {
    answers,
    parse: ({ params }) => params.taskID,
    accept: (connector, caller, id) => connector.taskControl.abort(caller, id),
  },
);

/** POST /api/v2/tasks/{taskID}/restart */
export const restartTask = taskHandler(
  {
    operationId: 'restartTask',
    summary: 'Restart a failed or cancelled task',
    description:
      'The task keeps its id. Its attempts continue to be counted, and the limit of attempts starts over.',
    tags: ['tasks'],
    params: taskParams,
    errors: [
      'task_state_conflict',
      'power_state_conflict',
      'instance_busy',
      'being_deleted',
      'quota_exceeded',
      'conflict',
      'precondition_failed',
      'plan_required',
    ],
  },
  {
    answers,
    parse: ({ params }) => params.taskID,
    accept: (connector, caller, id) => connector.taskControl.restart(caller, id),
  },
);
