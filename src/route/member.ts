import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Member, MemberUpdate, Owner, Role } from '../model/member.js';
import { callerOf } from './caller.js';
import { exampleIds } from './example.js';
import { listHandler } from './list-handler.js';
import type { ResponseData } from './pipeline/response.js';
import { defineHandler } from './route.js';

const projectParams = Type.Object({ projectID: Uuid }, { additionalProperties: false });
const memberParams = Type.Object({ projectID: Uuid, userID: Uuid }, { additionalProperties: false });

/** GET /api/v2/projects/{projectID}/members */
export const listMembers = listHandler(
  {
    operationId: 'listMembers',
    summary: 'Who is in the project: admins first, then operators, then readers',
    tags: ['projects'],
    params: projectParams,
    query: Type.Object({ role: Type.Optional(Role) }, { additionalProperties: false }),
    responses: { 200: { description: 'A page of members.', schema: Type.Array(Member), headers: ['Link'] } },
  },
  {
    args: ({ params, query, context }) => ({ caller: callerOf(context), ...params, ...query }),
    list: (connector, { caller, projectID, role }, page) =>
      connector.members.list(caller, projectID, page, role),
  },
);

/** GET /api/v2/projects/{projectID}/owners. Model: InfluxDB's owners, which are the admins here. */
export const listOwners = listHandler(
  {
    operationId: 'listOwners',
    summary: 'The admins of the project',
    tags: ['projects'],
    params: projectParams,
    responses: { 200: { description: 'A page of admins.', schema: Type.Array(Member), headers: ['Link'] } },
  },
  {
    args: ({ params, context }) => ({ caller: callerOf(context), ...params }),
    list: (connector, { caller, projectID }, page) =>
      connector.members.list(caller, projectID, page, 'admin'),
  },
);

/** POST /api/v2/projects/{projectID}/owners */
export const addOwner = defineHandler(
  {
    operationId: 'addOwner',
    summary: 'Make a user an admin of the project',
    description: 'Whether or not the user is in the project.',
    tags: ['projects'],
    params: projectParams,
    body: Owner,
    example: { userId: exampleIds.userID },
    responses: { 201: { description: 'The admin.', schema: Member, headers: ['Location'] } },
    errors: ['not_found', 'already_exists', 'unprocessable', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params: { projectID: projectId }, body: { userId }, context }) => ({
      caller: callerOf(context, () => addedTo('owners', projectId, { userId, role: 'admin' })),
      projectId,
      userId,
    }),
    execute: async (connector, { caller, projectId, userId }) =>
      addedTo('owners', projectId, await connector.members.addOwner(caller, projectId, userId)),
  },
);

/** DELETE /api/v2/projects/{projectID}/owners/{userID} */
export const removeOwner = defineHandler(
  {
    operationId: 'removeOwner',
    summary: 'Remove an admin from the project',
    description: 'A member in another role is not found here. The last admin is not removed.',
    tags: ['projects'],
    params: memberParams,
    responses: { 204: { description: 'The user is no longer in the project.' } },
    errors: ['in_use', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), ...params }),
    execute: async (connector, { caller, projectID, userID }) => {
      await connector.members.removeOwner(caller, projectID, userID);
      return {};
    },
  },
);

/** The response to a new member, or owner. */
const addedTo = (list: 'members' | 'owners', projectId: string, member: Member): ResponseData => ({
  result: member,
  metadata: { status: 201, location: `/api/v2/projects/${projectId}/${list}/${member.userId}` },
});

/** POST /api/v2/projects/{projectID}/members */
export const addMember = defineHandler(
  {
    operationId: 'addMember',
    summary: 'Add a user to the project',
    tags: ['projects'],
    params: projectParams,
    body: Member,
    example: { userId: exampleIds.userID, role: 'reader' },
    responses: { 201: { description: 'The member.', schema: Member, headers: ['Location'] } },
    errors: ['already_exists', 'unprocessable', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params: { projectID: projectId }, body, context }) => ({
      caller: callerOf(context, () => addedTo('members', projectId, body)),
      projectId,
      body,
    }),
    execute: async (connector, { caller, projectId, body }) =>
      addedTo('members', projectId, await connector.members.add(caller, projectId, body)),
  },
);

/** PUT /api/v2/projects/{projectID}/members/{userID} */
export const changeMember = defineHandler(
  {
    operationId: 'changeMember',
    summary: 'Change the role of a member',
    description: 'The last admin of a project must remain an admin (409).',
    tags: ['projects'],
    params: memberParams,
    body: MemberUpdate,
    example: { role: 'operator' },
    responses: { 200: { description: 'The member.', schema: Member } },
    errors: ['in_use', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, body, context }) => ({ caller: callerOf(context), ...params, ...body }),
    execute: async (connector, { caller, projectID, userID, role }) => ({
      result: await connector.members.change(caller, projectID, userID, role),
    }),
  },
);

/** DELETE /api/v2/projects/{projectID}/members/{userID} */
export const removeMember = defineHandler(
  {
    operationId: 'removeMember',
    summary: 'Remove a user from the project',
    description: 'Resources created by the user remain. The last admin of a project cannot be removed (409).',
    tags: ['projects'],
    params: memberParams,
    responses: { 204: { description: 'The user is no longer in the project.' } },
    errors: ['in_use', 'conflict', 'precondition_failed'],
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), ...params }),
    execute: async (connector, { caller, projectID, userID }) => {
      await connector.members.remove(caller, projectID, userID);
      return {};
    },
  },
);
