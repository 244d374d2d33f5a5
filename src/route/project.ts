import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Project, presentProject } from '../model/project.js';
import { RequireUserAuthenticator } from './pipeline/authenticator.js';
import { PaginationExecutor } from './pipeline/pagination.js';
import type { Route } from './route.js';
import { defineHandler, textPage } from './route.js';
import type { Connector } from '../data/connector.js';
import type { Caller } from '../data/caller.js';
import { callerOf } from './caller.js';

/** GET /api/v2/projects */
const list = new PaginationExecutor<Connector, Caller>({
  declaration: {
    operationId: 'listProjects',
    summary: 'Projects of the caller',
    description: 'Superusers see all projects.',
    tags: ['projects'],
    stored: true,
    responses: {
      200: { description: 'A page of projects.', schema: Type.Array(Project), headers: ['Link'] },
    },
  },
  args: ({ context }) => callerOf(context),
  paginator: (key, limit, caller, connector, { descending }) =>
    textPage(key, limit, (page) => connector.projects.list(caller, page), descending),
});

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
