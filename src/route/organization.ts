import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import {
  Organization,
  OrganizationCreate,
  OrganizationPatch,
  presentOrganization,
} from '../model/organization.js';
import { changed, createdIn } from './answer.js';
import { callerOf } from './caller.js';
import { labelFilter } from './label.js';
import { listHandler } from './list-handler.js';
import { defineHandler } from './route.js';

/** GET /api/v2/organizations */
export const listOrganizations = listHandler(
  {
    operationId: 'listOrganizations',
    summary: 'All organizations, oldest first',
    tags: ['organizations'],
    query: Type.Object(labelFilter, { additionalProperties: false }),
    responses: {
      200: { description: 'A page of organizations.', schema: Type.Array(Organization), headers: ['Link'] },
    },
  },
  {
    args: ({ query, context }) => ({ caller: callerOf(context), labels: query.labelID }),
    list: (connector, { caller, labels }, page) => connector.organizations.list(caller, page, labels),
  },
);

const created = createdIn('/api/v2/organizations');

/** POST /api/v2/organizations */
export const createOrganization = defineHandler(
  {
    operationId: 'createOrganization',
    summary: 'Create an organization',
    tags: ['organizations'],
    body: OrganizationCreate,
    example: { metadata: { name: 'example', description: 'The organization of the examples' } },
    responses: {
      201: { description: 'The organization.', schema: Organization, headers: ['Location', 'ETag'] },
    },
    errors: ['name_taken'],
  },
  {
    parse: ({ body, context }) => ({ caller: callerOf(context, created), body }),
    execute: async (connector, { caller, body }) =>
      created(await connector.organizations.create(caller, body)),
  },
);

/** GET /api/v2/organizations/{organizationID} */
export const getOrganization = defineHandler(
  {
    operationId: 'getOrganization',
    summary: 'One organization that has a project of the caller',
    tags: ['organizations'],
    params: Type.Object({ organizationID: Uuid }, { additionalProperties: false }),
    responses: { 200: { description: 'The organization.', schema: Organization, headers: ['ETag'] } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), id: params.organizationID }),
    execute: async (connector, { caller, id }) => {
      const { value, revision } = await connector.organizations.get(caller, id);
      return { result: presentOrganization(id, value), metadata: { revision } };
    },
  },
);

/** PATCH /api/v2/organizations/{organizationID} */
export const patchOrganization = defineHandler(
  {
    operationId: 'patchOrganization',
    summary: 'Rename or describe an organization',
    description: 'A JSON merge patch (RFC 7396).',
    tags: ['organizations'],
    params: Type.Object({ organizationID: Uuid }, { additionalProperties: false }),
    body: OrganizationPatch,
    example: { metadata: { description: 'The organization of the examples' } },
    responses: { 200: { description: 'The organization.', schema: Organization, headers: ['ETag'] } },
    errors: ['name_taken', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, body, context }) => ({
      caller: callerOf(context, changed),
      id: params.organizationID,
      body,
    }),
    execute: async (connector, { caller, id, body }) =>
      changed(await connector.organizations.patch(caller, id, body)),
  },
);
