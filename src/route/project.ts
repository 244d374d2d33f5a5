import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Project, ProjectCreate, ProjectPatch, presentProject } from '../model/project.js';
import { changed, createdIn } from './answer.js';
import { callerOf } from './caller.js';
import { exampleIds } from './example.js';
import { labelFilter } from './label.js';
import { listHandler } from './list-handler.js';
import { defineHandler } from './route.js';

const projectParams = Type.Object({ projectID: Uuid }, { additionalProperties: false });

/** GET /api/v2/projects */
export const listProjects = listHandler(
  {
    operationId: 'listProjects',
    summary: 'Projects of the caller',
    description: 'Superusers see all projects.',
    tags: ['projects'],
    query: Type.Object(labelFilter, { additionalProperties: false }),
    responses: {
      200: { description: 'A page of projects.', schema: Type.Array(Project), headers: ['Link'] },
    },
  },
  {
    args: ({ query, context }) => ({ caller: callerOf(context), labels: query.labelID }),
    list: (connector, { caller, labels }, page) => connector.projects.list(caller, page, labels),
  },
);

/** GET /api/v2/projects/{projectID} */
export const getProject = defineHandler(
  {
    operationId: 'getProject',
    summary: 'One project of the caller',
    tags: ['projects'],
    params: projectParams,
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

const created = createdIn('/api/v2/projects');

/** POST /api/v2/projects */
export const createProject = defineHandler(
  {
    operationId: 'createProject',
    summary: 'Create a project in an organization',
    description: 'It has a network `default` in each region, and no members yet.',
    tags: ['projects'],
    body: ProjectCreate,
    example: {
      metadata: { name: 'example', description: 'The project of the examples' },
      spec: { organizationId: exampleIds.organizationID },
    },
    responses: { 201: { description: 'The project.', schema: Project, headers: ['Location', 'ETag'] } },
    errors: ['name_taken', 'not_found'],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context, created), body }),
    execute: async (connector, { caller, body }) =>
      created(await connector.projectAdmin.create(caller, body)),
  },
);

/** PATCH /api/v2/projects/{projectID} */
export const patchProject = defineHandler(
  {
    operationId: 'patchProject',
    summary: 'Change some members of a project',
    description: 'A JSON merge patch (RFC 7396). The instances of a disabled project stay as they are.',
    tags: ['projects'],
    params: projectParams,
    body: ProjectPatch,
    example: { metadata: { description: 'The project of the examples' }, spec: { enabled: true } },
    responses: { 200: { description: 'The project.', schema: Project, headers: ['ETag'] } },
    errors: ['name_taken', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, body, context }) => ({
      caller: callerOf(context, changed),
      id: params.projectID,
      body,
    }),
    execute: async (connector, { caller, id, body }) =>
      changed(await connector.projectAdmin.patch(caller, id, body)),
  },
);

/** DELETE /api/v2/projects/{projectID} */
export const deleteProject = defineHandler(
  {
    operationId: 'deleteProject',
    summary: 'Delete a project and its networks',
    description: 'A project that has instances cannot be deleted (409).',
    tags: ['projects'],
    params: projectParams,
    responses: { 204: { description: 'The project was deleted.' } },
    errors: ['in_use', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.projectID }),
    execute: async (connector, { caller, id }) => {
      await connector.projectAdmin.delete(caller, id);
      return {};
    },
  },
);
