import { Type } from 'typebox';
import { Project } from '../model/project.js';
import { RequireUserAuthenticator } from './pipeline/authenticator.js';
import { PaginationExecutor } from './pipeline/pagination.js';
import type { Route } from './route.js';
import { textPage } from './route.js';
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

export const projectRoutes: Route[] = [
  {
    route: '/projects',
    version: 2,
    methods: [{ methodType: 'GET', authenticator: new RequireUserAuthenticator(), requestHandler: list }],
  },
];
