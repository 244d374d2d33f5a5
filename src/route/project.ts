import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Project, presentProject } from '../model/project.js';
import { callerOf } from './caller.js';
import { listHandler } from './list-handler.js';
import { defineHandler } from './route.js';

/** GET /api/v2/projects */
export const listProjects = listHandler(
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
export const getProject = defineHandler(
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
