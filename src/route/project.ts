import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Project, presentProject } from '../model/project.js';
import { callerOf } from './caller.js';
import { listHandler } from './list-handler.js';
import { RequireUserAuthenticator } from './pipeline/authenticator.js';
import type { Route } from './route.js';
import { defineHandler } from './route.js';

/** GET /api/v2/projects */
const list = listHandler(
  {
    operationId: 'listProjects',
    summary: 'Projects of the caller',
    description: 'Superusers see all projects.',
    tags: ['projects'],
    responses: {
      200: { description: 'A page of projects.', schema: Type.Array(Project), headers: ['Link'] },
    },
  },
  {
    args: ({ context }) => callerOf(context),
    list: (connector, caller, page) => connector.projects.list(caller, page),
  },
);

/** GET /api/v2/projects/{projectID} */
const get = defineHandler(
  {
    operationId: 'getProject',
    summary: 'One project of the caller',
    tags: ['projects'],
    params: Type.Object({ projectID: Uuid }, { additionalProperties: false }),
    responses: { 200: { description: 'The project.', schema: Project, headers: ['ETag'] } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.projectID }),
    execute: async (connector, { caller, id }) => {
      const { value, revision } = await connector.projects.get(caller, id);
      return { result: presentProject(id, value), metadata: { revision } };
    },
  },
);

export const projectRoutes: Route[] = [
  {
    route: '/projects',
    version: 2,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: list }],
  },
  {
    route: '/projects/{projectID}',
    version: 2,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: get }],
  },
];
