import { Type } from 'typebox';
import type { Connector } from '../data/connector.js';
import type { TaskFilter } from '../data/task.js';
import { Uuid } from '../model/common.js';
import { Task, TaskStatus, TaskType } from '../model/task.js';
import type { Caller } from '../data/caller.js';
import { callerOf } from './caller.js';
import { ProjectMemberAuthenticator, RequireUserAuthenticator } from './pipeline/authenticator.js';
import type { RouteRequest } from './pipeline/handler.js';
import { PaginationExecutor } from './pipeline/pagination.js';
import { JsonText } from './pipeline/response.js';
import { prefetchProjectContext } from './prefetch.js';
import type { Route } from './route.js';
import { defineHandler, textPage } from './route.js';

const listDeclaration = {
  operationId: 'listTasks',
  summary: 'Background work, oldest first',
  description: 'Values of one parameter are alternatives; different parameters must all hold.',
  tags: ['tasks'],
  query: Type.Object(
    {
      projectID: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
      subjectID: Type.Optional(Type.Array(Uuid, { maxItems: 100, description: 'Ids of instances.' })),
      type: Type.Optional(Type.Array(TaskType, { maxItems: 10 })),
      status: Type.Optional(Type.Array(TaskStatus, { maxItems: 10 })),
    },
    { additionalProperties: false },
  ),
  responses: { 200: { description: 'A page of tasks.', schema: Type.Array(Task), headers: ['Link'] } },
} as const;

/** GET /api/v2/tasks */
const list = new PaginationExecutor<Connector, { caller: Caller; filter: TaskFilter }>({
  declaration: listDeclaration,
  args: (request) => {
    const { query, context } = request as RouteRequest<typeof listDeclaration>;
    return {
      caller: callerOf(context),
      filter: {
        ...(query.projectID === undefined ? {} : { projectIds: query.projectID }),
        ...(query.subjectID === undefined ? {} : { subjectIds: query.subjectID }),
        ...(query.type === undefined ? {} : { types: query.type }),
        ...(query.status === undefined ? {} : { statuses: query.status }),
      },
    };
  },
  paginator: (key, limit, { caller, filter }, connector, { descending }) =>
    textPage(key, limit, (page) => connector.tasks.list(caller, filter, page), descending),
});

/** GET /api/v2/tasks/{task_id} */
const get = defineHandler(
  {
    operationId: 'getTask',
    summary: 'One task: its state, attempts, steps and cause',
    tags: ['tasks'],
    params: Type.Object({ task_id: Uuid }, { additionalProperties: false }),
    description: 'With `Prefer: wait=N` the answer comes when the task has ended, or after N seconds.',
    waits: true,
    responses: { 200: { description: 'The task.', schema: Task, headers: ['ETag', 'Preference-Applied'] } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.task_id, wait: context.wait }),
    execute: async (connector, { caller, id, wait }) => {
      if (wait > 0) await connector.tasks.ended(caller, id, wait * 1000);
      const { text, revision } = await connector.tasks.text(caller, id);
      return { result: new JsonText(text), metadata: { revision } };
    },
  },
);

export const taskRoutes: Route[] = [
  {
    route: '/tasks',
    version: 2,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: list }],
  },
  {
    route: '/tasks/{task_id}',
    version: 2,
    methods: [
      {
        methodType: 'GET',
        prefetchFunctions: [prefetchProjectContext],
        authenticator: new ProjectMemberAuthenticator(),
        requestHandler: get,
      },
    ],
  },
];
