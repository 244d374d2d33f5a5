import { Type } from 'typebox';
import { Uuid } from '../model/common.js';
import { Member, MemberUpdate } from '../model/member.js';
import { callerOf } from './caller.js';
import { exampleIds } from './example.js';
import type { ResponseData } from './pipeline/response.js';
import { defineHandler } from './route.js';

const projectParams = Type.Object({ projectID: Uuid }, { additionalProperties: false });
const memberParams = Type.Object({ projectID: Uuid, userID: Uuid }, { additionalProperties: false });

/** GET /api/v2/projects/{projectID}/members */
export const listMembers = defineHandler(
  {
    operationId: 'listMembers',
    summary: 'Who is in the project: admins first, then operators, then readers',
    tags: ['projects'],
    params: projectParams,
    responses: { 200: { description: 'All members.', schema: Type.Array(Member) } },
  },
  {
    parse: ({ params, context }) => ({ caller: callerOf(context), projectId: params.projectID }),
    execute: async (connector, { caller, projectId }) => ({
      result: await connector.members.list(caller, projectId),
    }),
  },
);

const added = (projectId: string, member: Member): ResponseData => ({
  result: member,
  metadata: { status: 201, location: `/api/v2/projects/${projectId}/members/${member.userId}` },
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
      caller: callerOf(context, () => added(projectId, body)),
      projectId,
      body,
    }),
    execute: async (connector, { caller, projectId, body }) =>
      added(projectId, await connector.members.add(caller, projectId, body)),
  },
);

/** PUT /api/v2/projects/{projectID}/members/{userID} */
export const changeMember = defineHandler(
  {
    operationId: 'changeMember',
    summary: 'Change the role of a member',
    description: 'The last admin of a project stays an admin.',
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
    description: 'What the user has created stays. The last admin of a project is not removed.',
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
